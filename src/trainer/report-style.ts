/** How a run's page looks, in light and dark, and the few lines of script behind its slider. */

export const pageStyle = `:root { color-scheme: light dark; --paper: #fff; --ink: #16202e; --soft: #566273; --line: #e1e6ed; --tint: #f5f7fa; --accent: #174a8c; --good: #1a7f4b; --open: #9a6700; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12161c; --ink: #e6eaf0; --soft: #a0abba; --line: #2b323d; --tint: #1a2029; --accent: #86bdff; --good: #5bd08f; --open: #e3b341; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 60rem; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.015em; overflow-wrap: anywhere; }
h2 { margin: 0 0 0.9rem; font-size: 1.2rem; letter-spacing: -0.005em; }
h3 { margin: 1.6rem 0 0.5rem; font-size: 0.95rem; color: var(--soft); font-weight: 600; }
header p { margin: 0.5rem 0 0; color: var(--soft); }
section { margin-top: 2.75rem; }
.state { display: inline-block; margin-right: 0.4rem; padding: 0 0.6em; border: 1px solid currentColor; border-radius: 1em; font-size: 0.82rem; }
.state.done { color: var(--good); }
.state.open { color: var(--open); }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); gap: 1.25rem 1.1rem; margin: 1.75rem 0 0; }
.figures div { padding-top: 0.6rem; border-top: 2px solid var(--line); }
.figures div:first-child { border-color: var(--accent); }
.figures dt { color: var(--soft); font-size: 0.82rem; }
.figures dd { margin: 0.1rem 0 0; font-size: 1.4rem; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; }
.figures small { display: block; color: var(--soft); font-size: 0.78rem; font-weight: 400; line-height: 1.35; }
.chart { display: block; width: 100%; min-width: 36rem; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
tr:first-child > * { border-top: 1px solid var(--line); } thead tr:first-child > * { border-top: 0; } .numbers tbody tr:first-child > * { border-top: 0; }
th, td { padding: 0.35rem 1.5rem 0.35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { font-weight: 500; }
thead th { color: var(--soft); font-size: 0.82rem; }
table.pairs, table.numbers { width: 100%; }
.pairs tbody th { width: 14rem; color: var(--soft); }
.pairs td { overflow-wrap: anywhere; }
.numbers td, .numbers thead th:not(:first-child) { text-align: right; white-space: nowrap; }
.numbers :is(th, td):last-child { padding-right: 0; }
details { margin-top: 0.75rem; }
summary { color: var(--accent); cursor: pointer; font-size: 0.9rem; }
figure { margin: 0; text-align: center; }
figure > img { display: block; max-width: 100%; max-height: 32rem; margin: 0 auto; border-radius: 6px; image-rendering: pixelated; }
figcaption { margin-top: 0.6rem; color: var(--soft); font-variant-numeric: tabular-nums; }
input[type="range"] { width: 100%; max-width: 36rem; margin-top: 0.4rem; accent-color: var(--accent); }
.strip { display: flex; gap: 0.75rem; margin: 1.25rem 0 0; padding: 4px 4px 0.75rem; overflow-x: auto; list-style: none; }
.strip li { flex: none; color: var(--soft); font-size: 0.78rem; text-align: center; font-variant-numeric: tabular-nums; }
.strip a { display: block; border-radius: 4px; }
.strip a[aria-current] { outline: 2px solid var(--accent); outline-offset: 2px; }
.strip img { display: block; height: 6rem; width: auto; min-width: 3rem; border-radius: 4px; image-rendering: auto; }
pre { margin: 0; padding: 0.9rem 1rem; border-radius: 8px; background: var(--tint); font-size: 0.85rem; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print { .strip, input[type="range"] { display: none; } section { break-inside: avoid; } }`;

/** Without it the last grid is shown, and the small ones are links. */
export const pageScript = `const slider = document.getElementById("grid-slider");
if (slider) {
  const image = document.getElementById("grid-image");
  const step = document.getElementById("grid-step");
  const links = [...document.querySelectorAll(".strip a")];
  const show = (i) => {
    slider.value = i;
    slider.setAttribute("aria-valuetext", "step " + links[i].dataset.step);
    image.src = links[i].getAttribute("href");
    image.alt = links[i].firstElementChild.alt;
    step.value = links[i].dataset.step;
    const strip = links[i].closest("ol");
    strip.scrollLeft = links[i].offsetLeft - strip.offsetLeft - strip.clientWidth / 2 + links[i].clientWidth / 2;
    links.forEach((link, k) => (k === i ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
  };
  slider.hidden = links.length < 2;
  slider.addEventListener("input", () => show(Number(slider.value)));
  links.forEach((link, i) => link.addEventListener("click", (event) => {
    event.preventDefault();
    show(i);
  }));
  // When the small ones have their sizes, so that the last can be brought into view.
  addEventListener("load", () => show(links.length - 1));
}`;
