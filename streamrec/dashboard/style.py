"""Colours and sizes, for light and dark, at any width. Nothing is loaded from elsewhere."""

COLOURS = {"live": "#2f7ed8", "frozen": "#8a8f98", "popularity": "#d98c1f", "new": "#3aa76d",
           "alarm": "#d33c32", "quiet": "#8a8f98", "press": "#1c5fa8"}
FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"
CSS = f"""
:root {{ --ink: #1b1f24; --quiet: #5d6670; --paper: #f4f5f7; --card: #ffffff; --edge: #d9dde2;
  --good: #1e7f4f; --bad: #b3261e; --link: #1c5fa8; }}
body.body--dark {{ --ink: #e8eaed; --quiet: #a2abb5; --paper: #14171b; --card: #1e2328; --edge: #343b43;
  --good: #58c48c; --bad: #ff8a80; --link: #8ab8ee; }}
body {{ background: var(--paper) !important; color: var(--ink); font-family: {FONT}; font-size: 15px; }}
.nicegui-content {{ padding: 0; gap: 0; align-items: stretch; }}
.bar {{ display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: center; padding: .6rem 1rem;
  background: var(--card); border-bottom: 1px solid var(--edge); width: 100%; }}
.bar.inner {{ border: 0; padding: 0; width: auto; }}
.bar a, a.link {{ color: var(--link); text-decoration: none; padding: .2rem 0; }}
.bar a[aria-current=page] {{ color: var(--ink); border-bottom: 2px solid var(--link); }}
button.link {{ color: var(--link); background: none; border: 0; padding: .2rem 0; font: inherit;
  cursor: pointer; }}
a:hover, .link:hover {{ text-decoration: underline; }}
a:focus-visible, .scroll:focus-visible {{ outline: 2px solid var(--link); outline-offset: 2px; }}
/* The library forbids it, `!important` in a layer of its own: an earlier layer is more important still. */
@layer base {{ button:focus-visible {{ outline: 2px solid var(--link) !important; outline-offset: 2px; }} }}
.page {{ padding: 1rem; width: 100%; max-width: 1400px; margin: 0 auto; display: flex;
  flex-direction: column; gap: 1rem; }}
.grid {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 1rem; }}
.card {{ background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: .9rem 1rem;
  min-width: 0; display: flex; flex-direction: column; gap: .5rem; }}
.wide {{ grid-column: 1 / -1; }}
h1, h2 {{ overflow-wrap: anywhere; }}
h1 {{ font-size: 1.25rem; line-height: 1.3; font-weight: 600; margin: 0; }}
h2 {{ font-size: 1.05rem; line-height: 1.3; font-weight: 600; margin: 0; }}
.numbers {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); gap: .5rem; }}
.number .value {{ font-size: 1.35rem; font-weight: 600; line-height: 1.25;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }}
.quiet {{ color: var(--quiet); font-size: .85rem; }}
/* The room is there before the sentence is: what lies below must not move under a finger. */
.verdict {{ color: var(--good); line-height: 1.5; min-height: 1.5em; }}
.verdict.bad {{ color: var(--bad); font-weight: 600; }}
.verdict.neither {{ color: var(--ink); }}
.banner {{ background: var(--bad); color: #fff; padding: .5rem 1rem; width: 100%; }}
body.body--dark .banner {{ color: #1b1f24; }}
.scroll {{ overflow-x: auto; width: 100%; }}
table.plain {{ border-collapse: collapse; width: 100%; font-size: .9rem; }}
table.plain th {{ text-align: left; color: var(--quiet); font-weight: 500; }}
table.plain th, table.plain td {{ padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--edge);
  vertical-align: top; overflow-wrap: break-word; font-variant-numeric: tabular-nums; }}
table.plain td {{ max-width: 46rem; min-width: 5.9rem; }}
.card > .q-btn {{ align-self: flex-start; }} .q-select {{ min-width: 7rem; }}
.choice {{ display: flex; flex-wrap: wrap; align-items: center; gap: .6rem; }}
.q-btn--flat {{ color: var(--link); }}
.q-field__native, .q-field__label, .q-field__marginal {{ color: var(--ink) !important; }}
.chart {{ width: 100%; height: 260px; }}
@media (max-width: 480px) {{
  .chart {{ height: 220px; }} .page {{ padding: .6rem; }}
  /* Columns have no room: each row is a block, and each cell, which holds one element, names its column. */
  table.plain, tbody {{ display: block; }}
  thead {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }}
  tr {{ display: block; padding: .4rem 0; border-bottom: 1px solid var(--edge); }}
  table.plain td {{ display: grid; grid-template-columns: 6.5rem minmax(0, 1fr); gap: .6rem; border: 0;
    align-items: baseline; padding: .1rem 0; max-width: none; min-width: 0; overflow-wrap: anywhere; }}
  td::before {{ content: attr(data-label); color: var(--quiet); font-size: .85rem; }}
  table.plain td:empty {{ display: none; }} table.plain td[data-label=""] {{ display: block; }}
  td[data-label=""]::before {{ content: none; }}
  table.pairs tr {{ display: grid; grid-template-columns: 2fr 3fr; gap: .6rem; }}
}}
"""
LOGIN_CSS = f"""
:root {{ color-scheme: light dark; }} body {{ font: 16px/1.5 {FONT}; margin: 0; }}
main {{ max-width: 20rem; margin: 15vh auto; padding: 1rem; }} form {{ display: grid; gap: .6rem; }}
input, button {{ font: inherit; padding: .5rem; }} p {{ margin: 0; min-height: 1.5em; }}
"""
