/** A drawing as SVG for a page: native text, colours that follow the reader's light or dark setting, no script, no file beside it. */
import { type Drawing, type Role, type Shape, styles } from "./drawing.js";

/** `label` is what a screen reader says of it. */
export function drawingSvg({ width, height, shapes }: Drawing, label: string): string {
  return [
    `<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(label)}" xmlns="http://www.w3.org/2000/svg">`,
    `<style>${css("light")} @media (prefers-color-scheme: dark) {${css("dark")}}</style>`,
    ...shapes.map(element),
    "</svg>",
  ].join("\n");
}

/** Text as content or attribute of XML and HTML. */
export const escapeXml = (text: string): string =>
  text.replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]!);

function css(paper: "light" | "dark"): string {
  const base =
    paper === "light"
      ? ".chart text { font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums; } .chart path { fill: none; stroke-linejoin: round; stroke-linecap: round; }"
      : "";
  const rules = (Object.keys(styles) as Role[]).map((role) => {
    const { width, [paper]: colour } = styles[role];
    return `.chart path.${role} { stroke: ${colour}; stroke-width: ${width}px; } .chart text.${role}, .chart circle.${role} { fill: ${colour}; }`;
  });
  return [base, ...rules].join(" ");
}

function element(shape: Shape): string {
  switch (shape.kind) {
    case "line":
      return `<path class="${shape.role}" d="M${pairs(shape.points).join("L")}"/>`;
    case "dot":
      return `<circle class="${shape.role}" cx="${short(shape.x)}" cy="${short(shape.y)}" r="${shape.radius}"/>`;
    case "text": {
      const anchor = shape.anchor === "start" ? "" : ` text-anchor="${shape.anchor}"`;
      const place = `x="${short(shape.x)}" y="${short(shape.y)}"`;
      return `<text class="${shape.role}" ${place}${anchor} style="font-size:${shape.size}px">${escapeXml(shape.text)}</text>`;
    }
  }
}

const pairs = (points: readonly number[]): string[] =>
  Array.from({ length: points.length / 2 }, (_, i) => `${short(points[2 * i]!)} ${short(points[2 * i + 1]!)}`);

const short = (x: number): string => String(Number(x.toFixed(1)));
