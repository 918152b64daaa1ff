"""How the HTML page looks: colours in two themes, and the style sheet.

Every pair of colours that is written on another is in :data:`PAIRS`, for the test of
contrast (WCAG 2.2, 1.4.3: 4.5 to 1 for text; 1.4.11: 3 to 1 for what is drawn).
"""

from __future__ import annotations

LIGHT = {
    "bg": "#ffffff",
    "soft": "#f3f5f7",
    "line": "#d3d9df",
    "text": "#1b2026",
    "muted": "#56606b",
    "link": "#0b55c4",
    "ok": "#166a34",
    "bad": "#b3201a",
    "wait": "#7a5200",
    "plot": "#0b55c4",
    "range": "#8494a8",
    "quiet-on": "#1b2026",
    "quiet-bg": "#e7ecf1",
    "changed-on": "#0d4d26",
    "changed-bg": "#dcf3e3",
    "failed-on": "#861410",
    "failed-bg": "#fde5e3",
}
DARK = {
    "bg": "#12161b",
    "soft": "#1b2128",
    "line": "#37414c",
    "text": "#e5e9ed",
    "muted": "#a2adb9",
    "link": "#86b6ff",
    "ok": "#6bd08c",
    "bad": "#ff8e85",
    "wait": "#e3b95a",
    "plot": "#86b6ff",
    "range": "#64758a",
    "quiet-on": "#e5e9ed",
    "quiet-bg": "#27303a",
    "changed-on": "#a5ecbd",
    "changed-bg": "#123420",
    "failed-on": "#ffc4bf",
    "failed-bg": "#491a17",
}
# What stands on what, and how far apart they are at least.
PAIRS = (
    *((front, "bg", 4.5) for front in ("text", "muted", "link", "ok", "bad", "wait")),
    *((front, "soft", 4.5) for front in ("text", "muted", "ok", "bad", "wait")),
    ("quiet-on", "quiet-bg", 4.5),
    ("changed-on", "changed-bg", 4.5),
    ("failed-on", "failed-bg", 4.5),
    ("plot", "bg", 3.0),
    ("range", "bg", 3.0),
)

# The shapes before the words of states: a tick, a bar, a cross, a ring. They are cut
# out of the word's own colour, so that no state is known by its colour alone.
RULES = """
*,::before{box-sizing:border-box}
body{margin:0 auto;max-width:70rem;padding:1.25rem;background:var(--bg);
color:var(--text);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.25rem;line-height:1.4;margin:.75rem 0;font-weight:600}
h2{font-size:1.125rem;margin:2.5rem 0 .5rem;padding-top:.75rem;
border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.5rem 0 .5rem}
p,ul,ol,figure{margin:.5rem 0}
ul,ol{padding-left:1.25rem}
li{margin:.25rem 0}
a{color:var(--link)}
code,pre,.m{font-family:ui-monospace,monospace;font-size:.92em}
pre{font-size:.8125rem}
pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;
padding:.5rem .75rem;margin:.5rem 0;white-space:pre-wrap}
.badge{display:inline-block;padding:.25rem .75rem;border-radius:6px;font-weight:700}
.badge.quiet{color:var(--quiet-on);background:var(--quiet-bg)}
.badge.changed{color:var(--changed-on);background:var(--changed-bg)}
.badge.failed{color:var(--failed-on);background:var(--failed-bg)}
dl{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:.75rem 0}
dt{font-size:.8125rem;color:var(--muted)}
dd{margin:0}
.wide{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;width:100%;font-size:.875rem}
caption{text-align:left;color:var(--muted);padding:.25rem 0;caption-side:top}
th,td{text-align:left;vertical-align:top;padding:.375rem .75rem .375rem 0;
border-bottom:1px solid var(--line)}
th{font-weight:600}
thead th{color:var(--muted);white-space:nowrap}
tr.note td{border-bottom:1px solid var(--line);padding:0 0 .5rem}
tr.noted>*{border-bottom:0;padding-bottom:.125rem}
.packages th,.packages td{width:33%}
.s{display:block;color:var(--muted);font-size:.8125rem;font-weight:400}
.w{white-space:nowrap;font-weight:600}
.w::before{content:"";display:inline-block;width:.75em;height:.75em;margin-right:.4em;
background:currentColor;forced-color-adjust:none;print-color-adjust:exact}
.w.done{color:var(--ok)}
.w.done::before{clip-path:polygon(14% 45%,38% 69%,86% 12%,100% 26%,38% 97%,0 59%)}
.w.unchanged{color:var(--muted);font-weight:400}
.w.unchanged::before{clip-path:inset(40% 5%)}
.w.failed{color:var(--bad)}
.w.failed::before{clip-path:polygon(18% 0,50% 32%,82% 0,100% 18%,68% 50%,100% 82%,
82% 100%,50% 68%,18% 100%,0 82%,32% 50%,0 18%)}
.w.waiting{color:var(--wait)}
.w.waiting::before{background:none;border:.17em solid;border-radius:50%}
.badge .w{color:inherit;font-weight:700}
.error{border-left:3px solid var(--bad);padding-left:.625rem;margin:.25rem 0}
details{margin:.75rem 0}
summary{cursor:pointer;color:var(--link)}
.plot{padding:0 3rem 0 3.25rem}
.plot figcaption{margin-left:-3.25rem;font-size:.875rem;color:var(--muted)}
.plot p{margin-left:-3.25rem;font-size:.875rem}
svg{display:block;overflow:visible;font-size:12px}
svg text{fill:var(--muted)}
svg .v{fill:var(--text);font-weight:600}
svg .g{stroke:var(--line)}
svg .h,.key .h{stroke:var(--plot);stroke-width:2}
svg .r,.key .r{stroke:var(--range);stroke-width:4}
svg .p{fill:var(--plot);stroke:var(--bg);stroke-width:1.5}
.key svg{display:inline-block;vertical-align:middle;margin:0 .375rem}
.key span{white-space:nowrap;margin-right:1rem}
footer{margin-top:3rem;color:var(--muted);font-size:.8125rem}
.m,th .s,td>.s{white-space:nowrap}
@media (max-width:40rem){
body{padding:.75rem}
h1{font-size:1.0625rem}
table{font-size:.8125rem}
th,td{padding-right:.5rem}
.matrix{font-size:.75rem}
.matrix .s,.matrix .w.unchanged{font-size:.6875rem}
.matrix th,.matrix td{padding-right:.25rem}
.matrix td:last-child{padding-right:0}
.w::before{margin-right:.25em}
.matrix .w::before{width:.65em;height:.65em;margin-right:.2em}
.matrix .m{white-space:normal;word-break:break-all}
.long .s{white-space:normal}
}
"""


def sheet() -> str:
    """Return the style sheet: both themes, and the rules."""
    light, dark = _variables(LIGHT), _variables(DARK)
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"{RULES.strip()}"
    )


def _variables(theme: dict[str, str]) -> str:
    return "".join(f"--{name}:{color};" for name, color in theme.items())
