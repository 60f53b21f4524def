"""The pages' style: one sheet, in the page itself, for phone and desk, light and dark."""

from __future__ import annotations

import hashlib
from base64 import b64encode

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1c2024; --soft: #5b6570; --line: #dde1e6; --card: #f5f7f9;
  --good: #1a7f37; --warn: #8a5a00; --bad: #c0271d; --link: #0a58ca;
  --c0: #dfe5ea; --c1: #b6e3c0; --c2: #79c98d; --c3: #3da35a; --c4: #1a7f37; --part: #9ec5fe; --miss: #f0b429;
  --on-bad: #fff; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --ink: #e6e9ec; --soft: #9aa5b1; --line: #2d343b;
  --card: #1c2126; --good: #4cc26b; --warn: #e0a83a; --bad: #ff7b6e; --link: #7ab1ff;
  --c0: #2b3239; --c1: #12391f; --c2: #1b5e31; --c3: #2a8a49; --c4: #4cc26b; --part: #2f5d9b; --miss: #d69a26;
  --on-bad: #1c2024; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 0 1rem 4rem; background: var(--ground); color: var(--ink);
  font: 16px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif; overflow-wrap: anywhere; }
header { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: baseline; padding: 1rem 0 .5rem; }
h1 { font-size: 1.35rem; margin: 0; } h1 a { color: inherit; text-decoration: none; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; } h3 { font-size: .95rem; margin: 1rem 0 .25rem; }
a { color: var(--link); } p { margin: .25rem 0; } .soft, .none { color: var(--soft); }
form { margin-left: auto; display: flex; gap: .25rem; }
input, button { font: inherit; padding: .25rem .5rem; border: 1px solid var(--line); border-radius: .35rem;
  background: var(--card); color: inherit; min-width: 0; }
input { width: 13rem; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 1px; }
.state { border-left: .35rem solid var(--good); background: var(--card); padding: .6rem .9rem; border-radius: .25rem; }
.state.bad { border-color: var(--bad); } .state strong { font-size: 1.1rem; }
.state ul { margin: .35rem 0 0; padding-left: 1.2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .9rem; margin: .5rem 0; }
dt { color: var(--soft); } dd { margin: 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: normal; } td { max-width: 28rem; overflow-wrap: break-word; } td a { white-space: nowrap; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; } time { white-space: nowrap; }
.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
article { background: var(--card); border-left: .25rem solid var(--warn); border-radius: .25rem; padding: .5rem .9rem;
  margin: .5rem 0; } article .do { margin-top: .35rem; } article h3 { margin: 0; }
.bad-text { color: var(--bad); font-weight: 600; } .warn-text { color: var(--warn); font-weight: 600; }
.good-text { color: var(--good); }
.heat { display: grid; grid-template-rows: auto repeat(7, 1fr); grid-auto-flow: column; grid-auto-columns: 1fr;
  gap: 2px; max-width: 34rem; margin: .35rem 0; }
.heat i { display: block; aspect-ratio: 1; border-radius: 2px; background: transparent; font: 700 9px/1 system-ui;
  font-style: normal; display: grid; place-items: center; color: #1c2024; overflow: hidden; }
.heat b { font: 400 .7rem/1.2 system-ui; color: var(--soft); width: 0; white-space: nowrap; height: 1.2em; }
.heat .c0 { background: var(--c0); } .heat .c1 { background: var(--c1); } .heat .c2 { background: var(--c2); }
.heat .c3 { background: var(--c3); } .heat .c4 { background: var(--c4); } .heat .part { background: var(--part); }
.heat .miss { background: var(--miss); } .heat .fail { background: var(--bad); color: var(--on-bad); }
.sources { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: .5rem 2rem; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .85rem; color: var(--soft); }
.legend > span { display: inline-flex; align-items: center; gap: .35rem; }
.legend .heat { display: inline-block; width: .9rem; margin: 0; }
pre { background: var(--card); padding: .5rem; overflow-x: auto; white-space: pre-wrap; font-size: .85rem; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) { form { margin: 0; width: 100%; } input { flex: 1; width: auto; }
  th, td { padding: .3rem .4rem; } }
"""

STYLE_HASH = "sha256-" + b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
"""What the content security policy lets in: this sheet and no other."""
