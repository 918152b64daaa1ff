"""One bad situation: what is done, what is typed, and what has to be said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.command import Said

LONGEST = 500  # characters of a sentence, paths in it included
Deed = Callable[[Any], object]  # of a Scene, or of a kind of it
DRY = ("bake", "--dry-run")


@dataclass(frozen=True)
class Situation:
    """*says*: a text that only this situation's error has, in its where or what."""

    name: str
    says: str
    typed: tuple[str, ...]
    deed: Deed
    code: int
    machines: bool


@dataclass
class Situations:
    """A list of situations, filled line by line or by decorated deeds.

    *typed*: what is typed where nothing else is said.
    """

    typed: tuple[str, ...] = DRY
    found: list[Situation] = field(default_factory=list)

    def __iter__(self) -> Iterator[Situation]:
        return iter(self.found)

    def add(
        self,
        name: str,
        says: str,
        deed: Deed,
        *typed: str,
        code: int = 2,
        machines: bool = False,
    ) -> None:
        self.found.append(
            Situation(name, says, typed or self.typed, deed, code, machines)
        )

    def when(
        self, says: str, *typed: str, code: int = 2, machines: bool = False
    ) -> Callable[[Deed], Deed]:
        """Add the decorated deed; its name is the situation's."""

        def take(deed: Deed) -> Deed:
            name = deed.__name__.strip("_")
            self.add(name, says, deed, *typed, code=code, machines=machines)
            return deed

        return take

    def setting(self, name: str, value: str, says: str) -> None:
        """The environment gives a setting a value that will not do."""
        variable = f"INVOKE_ANNEXKIT_{name}"
        self.add(
            f"{variable}={value}",
            says,
            lambda scene: scene.set(variable, value),
            "registry.list",
        )

    def recipe(self, name: str, old: str, new: str, says: str) -> None:
        """The recipe has another text in place of *old*."""
        self.add(f"recipe-{name}", says, lambda scene: scene.recipe(old, new))


def check(said: Said, situation: Situation, every: Sequence[Situation]) -> None:
    """One error at least; each with a mend, and once; ours among them, no other's."""
    assert said.exit_code == situation.code, said.err
    assert "Traceback" not in said.err + said.out
    assert said.errors, said.err
    for what, mend in said.errors:
        assert 10 < len(what.splitlines()[0]) < LONGEST, what  # Packer says more
        assert mend, f"no mend: {what}"
    assert len(set(said.errors)) == len(said.errors), said.err
    told = [what for what, _ in said.errors if situation.says in what]
    assert told, said.err
    for other in every:
        assert other is situation or other.says not in told[0], other.name


def check_distinct(every: Sequence[Situation], fewest: int) -> None:
    """Each is named once, and says what no other says; there are enough."""
    texts = [one.says for one in every]
    assert len({one.name for one in every}) == len(texts)
    for text in texts:
        assert sum(text in other for other in texts) == 1, text
    assert len(texts) >= fewest
