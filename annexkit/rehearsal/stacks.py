"""CloudFormation stacks: the metadata of their resources, which moto keeps to itself.

Source: AWS CloudFormation User Guide, "Intrinsic function reference"; known here are
those that the 2016 condor_annex tool's templates use in metadata.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from annexkit.rehearsal.state import ACCOUNT
from annexkit.rehearsal.wire import ApiError, Call, Element, Moto, put, text_of

VERSION = "2010-05-15"


class Stacks:
    """Answers what moto leaves out of its answers."""

    def __init__(self, moto: Moto) -> None:
        self._moto = moto

    def describe_resource(self, call: Call) -> Element:
        """DescribeStackResource, with the resource's metadata as an instance reads it.

        :raises ApiError: no such stack or resource.
        """
        root = self._moto.ask(call)
        detail = root.find(".//StackResourceDetail")
        template = json.loads(self._ask(call, "GetTemplate", "TemplateBody"))
        resource = template["Resources"].get(call.get("LogicalResourceId"), {})
        if detail is not None and "Metadata" in resource:
            known = Names(self._values(call, template), template.get("Conditions", {}))
            put(detail, "Metadata", json.dumps(known.resolve(resource["Metadata"])))
        return root

    def _values(self, call: Call, template: Mapping[str, Any]) -> dict[str, str]:
        asked = Call(call.service, call.region, "DescribeStacks", self._stack(call))
        root = self._moto.ask(asked)
        given = {
            text_of(one, "ParameterKey"): text_of(one, "ParameterValue")
            for one in root.iterfind(".//Parameters/member")
        }
        defaults = {
            name: str(one["Default"])
            for name, one in template.get("Parameters", {}).items()
            if "Default" in one
        }
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": call.region,
            "AWS::StackId": root.findtext(".//StackId") or "",
            "AWS::StackName": call.get("StackName"),
        }
        return {**defaults, **given, **pseudo}

    def _ask(self, call: Call, action: str, path: str) -> str:
        asked = Call(call.service, call.region, action, self._stack(call))
        return self._moto.ask(asked).findtext(f".//{path}") or "{}"

    def _stack(self, call: Call) -> dict[str, str]:
        return {"StackName": call.get("StackName"), "Version": VERSION}


class Names:
    """What a template's functions are resolved with.

    :param values: parameters and pseudo parameters.
    :param conditions: the template's own, not resolved.
    """

    def __init__(
        self, values: Mapping[str, str], conditions: Mapping[str, Any]
    ) -> None:
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": lambda name: values[name],
            "Fn::Join": lambda of: of[0].join(str(self.resolve(one)) for one in of[1]),
            "Fn::Equals": lambda of: self.resolve(of[0]) == self.resolve(of[1]),
            "Fn::Not": lambda of: not self.resolve(of[0]),
            "Fn::If": lambda of: self.resolve(
                of[1] if self.resolve(conditions[of[0]]) else of[2]
            ),
        }

    def resolve(self, value: Any) -> Any:
        """Return a value with all functions in it replaced by what they stand for.

        :raises ApiError: a function or a name that is not known here.
        """
        if isinstance(value, list):
            return [self.resolve(one) for one in value]
        if not isinstance(value, dict):
            return value
        name = next(iter(value), "")
        if len(value) > 1 or not name.startswith(("Ref", "Fn::")):
            return {key: self.resolve(one) for key, one in value.items()}
        try:
            return self._functions[name](value[name])
        except KeyError as error:
            raise ApiError("ValidationError", f"not known here: {error}") from None
