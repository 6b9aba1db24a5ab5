"""How pages look, and the little that they do; without scripts they lose nothing but comfort."""

STYLE = """
:root { --ink: #1c2126; --quiet: #59626c; --line: #dfe3e8; --accent: #1f5fa8; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 40px 24px 64px; color: var(--ink);
  background: #f7f8f9; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: 26px; line-height: 1.25; font-weight: 650; }
h2 { margin: 40px 0 12px; font-size: 18px; font-weight: 650; }
p.subtitle { margin: 4px 0 0; }
.subtitle, .quiet { color: var(--quiet); font-weight: 400; }
.scores { display: flex; flex-wrap: wrap; gap: 24px 56px; align-items: center;
  margin-top: 28px; padding: 24px 28px; }
.headline { display: grid; margin: 0; color: var(--quiet); }
.headline strong { color: var(--ink); font-size: 50px; line-height: 1.1; font-weight: 650; }
table { flex: 1 1 300px; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 0 6px 20px; border-bottom: 1px solid var(--line); text-align: right; }
th { font-weight: 400; }
th:first-child { padding-left: 0; text-align: left; }
thead th, dt { color: var(--quiet); font-size: 13px; }
tbody tr:last-child > * { border-bottom: 0; }
.scores, .curve, .card { background: #fff; border: 1px solid var(--line); border-radius: 10px; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  gap: 16px; }
.curve { width: 100%; max-width: 640px; padding: 12px; }
.samples > input { position: absolute; opacity: 0; }
.samples > label { display: inline-block; margin: 4px 8px 16px 0; padding: 4px 14px;
  background: #fff; border: 1px solid #b9c1ca; border-radius: 999px; cursor: pointer; }
.samples > label span { color: var(--quiet); font-variant-numeric: tabular-nums; }
.samples > input:checked + label, .samples > input:checked + label span { color: #fff;
  background: var(--accent); border-color: var(--accent); }
.samples > input:focus-visible + label { outline: 2px solid var(--accent); outline-offset: 2px; }
#show-wrong:checked ~ .cards :not(.wrong).card, #show-right:checked ~ .cards :not(.right).card,
#show-worst:checked ~ .cards :not(.worst).card, #show-best:checked ~ .cards :not(.best).card,
#show-between:checked ~ .cards :not(.between).card { display: none; }
.card { margin-bottom: 16px; padding: 16px 20px 18px; }
h3 { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px; margin: 0 0 12px;
  font-size: 14px; font-weight: 600; overflow-wrap: anywhere; }
h3 .quiet { margin-left: auto; font-size: 13px; font-variant-numeric: tabular-nums; }
.badge { padding: 0 9px; border-radius: 999px; font-size: 13px; font-weight: 500;
  color: #8c1d18; background: #fbe7e5; }
.compared .badge { color: var(--ink); background: #eef1f4; }
.compared .badge.bad { color: #8c1d18; background: #fbe7e5; }
.right .badge, .compared .badge.good { color: #14532d; background: #e2f3e8; }
.body { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 12px 28px; }
.picture, figure { align-self: start; margin: 0; padding: 6px; text-align: center;
  border: 1px solid var(--line); border-radius: 6px; }
.picture img { max-width: 100%; max-height: 150px; vertical-align: middle; }
dl, dd, .texts p { margin: 0; }
.texts { display: grid; gap: 12px; align-content: start; }
.print { overflow-x: auto; padding: 5px 0; line-height: 0; }
mark { padding: 1px 3px; border-radius: 3px; color: inherit; }
mark.missed { background: #dcebfb; border-bottom: 2px solid #1f5fa8; }
mark.wrong { background: #fde3df; border-bottom: 2px dashed #b3261e; }
.gap { display: inline-block; padding: 6px 4px; border: 1px dashed #b3261e; vertical-align: -2px; }
.attention { margin-top: 14px; padding-top: 10px; border-top: 1px solid var(--line); }
summary { color: var(--accent); font-size: 14px; cursor: pointer; }
.closer input { width: 220px; max-width: 60%; vertical-align: middle; accent-color: var(--accent); }
.tokens, output, figcaption { font: 13px/1.7 ui-monospace, SFMono-Regular, Menlo, Consolas,
  "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
output { margin-left: 8px; padding: 1px 8px; background: #eef1f4; border-radius: 4px; }
.closer { margin-top: 10px; font-size: 14px; }
.stage img { width: min(100%, 640px); max-height: 170px; margin: 10px 0;
  object-fit: contain; object-position: left; }
.strip { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 10px; max-height: 460px;
  overflow-y: auto; }
figure.shown { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
.strip img { height: 48px; max-width: 170px; object-fit: contain; vertical-align: middle; }
figcaption { font-size: 12px; }
.compared .texts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 280px), 1fr)); }
.compared .caption { font-size: 16px; }
code { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.unit { flex: 1 1 100%; margin: 0; font-size: 13px; }
.worst .badge { color: #8c1d18; background: #fbe7e5; }
.between .badge { color: #5a4300; background: #faf0d2; }
.best .badge { color: #14532d; background: #e2f3e8; }
.photograph img { width: 100%; max-width: 340px; border-radius: 6px; vertical-align: middle; }
.caption { font-size: 19px; line-height: 1.4; }
.measured { margin-top: 4px; font-size: 13px; font-variant-numeric: tabular-nums; }
.texts ul, .texts ol { margin: 0; padding-left: 22px; }
.texts li { padding: 1px 0; }
.lit { display: block; aspect-ratio: var(--shape); background: var(--photograph) 0 0 / 100% 100%;
  border-radius: 4px; overflow: hidden; }
.strip .lit { height: 96px; }
.stage .lit { width: min(100%, 340px); margin: 10px 0; }
.strip .lit img, .stage .lit img { width: 100%; height: 100%; max-width: none; max-height: none;
  margin: 0; object-fit: fill; vertical-align: top; }
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr));
  gap: 16px; align-items: start; }
.tables > div { padding: 16px 20px; background: #fff; border: 1px solid var(--line);
  border-radius: 10px; overflow-x: auto; }
.tables .wide { grid-column: 1 / -1; }
.tables table { width: 100%; font-size: 14px; }
.tables th, .tables td { padding-top: 3px; padding-bottom: 3px; }
.prose { text-align: left; }
.prose:has(.id) { white-space: nowrap; }
.id { display: inline-block; max-width: 92px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; vertical-align: bottom; font-size: 12px; color: var(--quiet); }
a.id { color: var(--accent); }
footer div { display: flex; flex-wrap: wrap; gap: 0 16px; padding: 5px 0; font-size: 14px;
  border-bottom: 1px solid var(--line); }
footer dt { flex: 0 0 150px; }
footer dd { flex: 1 1 240px; overflow-wrap: anywhere; }
@media (max-width: 700px) { body { padding: 24px 16px 48px; }
  .body { grid-template-columns: minmax(0, 1fr); } }
"""

# Slider and hover choose the step that is shown large; without scripts the strip alone remains.
SCRIPT = """
for (const box of document.querySelectorAll('.attention')) {
  const steps = [...box.querySelectorAll('figure')];
  const slider = box.querySelector('input');
  const show = i => {
    slider.value = i;
    box.querySelector('.stage').replaceChildren(steps[i].firstElementChild.cloneNode(true));
    box.querySelector('output').textContent = steps[i].querySelector('figcaption').textContent;
    steps.forEach((s, j) => s.classList.toggle('shown', i === j));
  };
  slider.addEventListener('input', () => show(+slider.value));
  steps.forEach((s, i) => s.addEventListener('mouseenter', () => show(i)));
  box.querySelector('.closer').hidden = false;
  show(0);
}
"""
