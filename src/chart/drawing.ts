/**
 * A drawing as plain data: lines, dots and texts at places in pixels, each with a role. What a role looks like stands here once; png.ts
 * and svg.ts are two ways to put the same drawing down.
 */

/** What a shape is there for; colour and width follow from it. */
export type Role = "grid" | "axis" | "label" | "title" | "raw" | "smooth" | "bad";

export interface Line {
  readonly kind: "line";
  readonly role: Role;
  /** x and y by turns, in pixels from the upper left corner; at least two points. */
  readonly points: readonly number[];
}

export interface Dot {
  readonly kind: "dot";
  readonly role: Role;
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

export interface Text {
  readonly kind: "text";
  readonly role: Role;
  readonly x: number;
  /** Of the baseline. */
  readonly y: number;
  readonly text: string;
  readonly anchor: "start" | "middle" | "end";
  /** Font size in pixels. */
  readonly size: number;
}

export type Shape = Line | Dot | Text;

export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly shapes: readonly Shape[];
}

/** Colours as #rrggbb on white and on black paper, and the width of lines in pixels. */
export const styles: Readonly<Record<Role, { readonly light: string; readonly dark: string; readonly width: number }>> = {
  grid: { light: "#e7eaef", dark: "#2b323d", width: 1 },
  axis: { light: "#a3acb9", dark: "#5b6675", width: 1 },
  label: { light: "#4b5563", dark: "#a5afbd", width: 1.1 },
  title: { light: "#111827", dark: "#e6eaf0", width: 1.4 },
  raw: { light: "#a8c5ea", dark: "#34577f", width: 1 },
  smooth: { light: "#174a8c", dark: "#86bdff", width: 2 },
  bad: { light: "#cf222e", dark: "#ff6b63", width: 1.5 },
};
