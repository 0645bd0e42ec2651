/** What the parser hands to `resolve.ts`: the text as data, every word with its place, nothing looked up yet. */
import type { Loc } from "./graph.js";

export interface At {
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

/** A piece of text without its sigil or quotes. */
export interface Word {
  readonly text: string;
  readonly at: At;
  readonly quoted?: boolean;
}

export interface TypeSyntax {
  readonly dtype: Word;
  readonly axes: readonly { readonly name: Word; readonly size: Word }[];
}

/** Which kind of attribute this is only the op's schema knows: `[B]` is a list of names or of sizes. */
export type AttrSyntax =
  | { readonly form: "string" | "fn" | "words"; readonly word: Word }
  | { readonly form: "list"; readonly items: readonly Word[]; readonly at: At }
  | { readonly form: "type"; readonly type: TypeSyntax };

export interface NodeSyntax {
  readonly outputs: readonly Word[];
  readonly op: Word;
  readonly inputs: readonly Word[];
  readonly attrs: readonly { readonly key: Word; readonly value: AttrSyntax }[];
  readonly types: readonly TypeSyntax[];
  readonly loc: Loc | undefined;
}

export interface FnSyntax {
  readonly name: Word;
  readonly params: readonly {
    readonly value: Word;
    readonly kind: Word;
    readonly name: Word | undefined;
    readonly type: TypeSyntax;
  }[];
  readonly nodes: readonly NodeSyntax[];
  readonly results: readonly { readonly name: Word; readonly value: Word }[];
}

export interface ModuleSyntax {
  readonly stage: Word;
  readonly fns: readonly FnSyntax[];
}
