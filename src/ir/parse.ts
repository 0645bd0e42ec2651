/**
 * IR text to plain syntax with places, and on to a module: the grammar of what `print.ts` writes. The rules know no ops; names and
 * types get their meaning in `resolve.ts`. The parser recovers at the next line it understands, so one run reports several mistakes.
 *
 *     module  = "module" stage fn*
 *     fn      = "fn" @name "(" [param ("," param)*] ")" "{" node* "return" [result ("," result)*] "}"
 *     param   = %value ":" kind ["quoted name"] type          result = name "=" %value
 *     node    = %value ("," %value)* "=" op "(" [%value ("," %value)*] ")" [attrs] ":" type ("," type)*   // file:line:column
 *     attrs   = "{" name "=" attr ("," name "=" attr)* "}"    attr = quoted | @fn | list | type | words
 *     type    = dtype "[" [axis ":" words ("," axis ":" words)*] "]"       words = numbers, names and + - * ^ of one size
 */
import {
  createToken,
  EmbeddedActionsParser,
  type IParserErrorMessageProvider,
  type IToken,
  Lexer,
  type TokenType,
} from "chevrotain";
import { type Diagnostic, DitError } from "../diagnostics/diagnostic.js";
import type { Loc, Module } from "./graph.js";
import { resolve } from "./resolve.js";
import type { AttrSyntax, FnSyntax, ModuleSyntax, NodeSyntax, TypeSyntax, Word } from "./syntax.js";

/** Reads a module; throws a DitError with every mistake found. `file` is only for messages. */
export function parseModule(text: string, file = "module.ir"): Module {
  const lines = text.split("\n");
  const mistake = (code: string, message: string, line: number, column: number, length: number): Diagnostic => {
    const source = lines[line - 1];
    return { code, message, span: { file, line, column, length, ...(source === undefined ? {} : { text: source }) } };
  };
  const { tokens, errors, groups } = lexer.tokenize(text);
  const strange = errors.map((e) =>
    mistake(
      "DIT2101",
      `unexpected ${JSON.stringify(text.slice(e.offset, e.offset + e.length))}`,
      e.line ?? 1,
      e.column ?? 1,
      e.length,
    ),
  );
  if (strange.length > 0) throw new DitError(strange);
  parser.comments = commentsByLine(groups.comments ?? []);
  parser.input = tokens;
  const syntax = parser.module();
  const { errors: wrong } = parser;
  // The parser lives as long as the program, and would keep the tokens: 120 MB of those of a large model's kernels.
  parser.input = [];
  parser.comments = new Map();
  if (wrong.length > 0) {
    throw new DitError(
      wrong.map(({ message, token }) => {
        const end = token.tokenType.name === "EOF" ? tokens.at(-1) : undefined;
        const column = end ? end.startColumn! + end.image.length : token.startColumn!;
        return mistake("DIT2102", message, end ? end.startLine! : token.startLine!, column || 1, end ? 1 : token.image.length);
      }),
    );
  }
  return resolve(syntax, (code, message, at) => mistake(code, message, at.line, at.column, at.length));
}

const comments = createToken({ name: "comment", pattern: /\/\/[^\n]*/, group: "comments" });
const space = createToken({ name: "space", pattern: /\s+/, group: Lexer.SKIPPED });
const ident = createToken({ name: "name", pattern: /[A-Za-z_][\w.]*/, label: "a name" });
const keyword = (name: string) =>
  createToken({ name: `${name} keyword`, pattern: name, longer_alt: ident, categories: ident, label: `"${name}"` });
const moduleWord = keyword("module");
const fnWord = keyword("fn");
const returnWord = keyword("return");
const value = createToken({ name: "value", pattern: /%[\w.]+/, label: "a %value" });
const fnName = createToken({ name: "function", pattern: /@[\w.]+/, label: "an @function" });
const number = createToken({ name: "number", pattern: /\d+(?:\.\d+)?(?:e[+-]?\d+)?/, label: "a number" });
const quoted = createToken({
  name: "quoted",
  // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly JSON's strings, so that reading one never fails
  pattern: /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/,
  label: "a quoted string",
});
const mark = (pattern: string) => createToken({ name: pattern, pattern, label: `"${pattern}"` });
const [open, close, openBrace, closeBrace, openBracket, closeBracket] = ["(", ")", "{", "}", "[", "]"].map(mark) as Six;
const [colon, comma, equals] = [mark(":"), mark(","), mark("=")];
const sign = createToken({ name: "sign", pattern: /[-+*^]/, label: "a sign" });
type Six = [TokenType, TokenType, TokenType, TokenType, TokenType, TokenType];

const vocabulary = [
  ...[comments, space, moduleWord, fnWord, returnWord, ident, value, fnName, number, quoted, sign],
  ...[open, close, openBrace, closeBrace, openBracket, closeBracket, colon, comma, equals],
];
const lexer = new Lexer(vocabulary, { positionTracking: "onlyStart" });

const found = (token: IToken | undefined): string => (!token || token.tokenType.name === "EOF" ? "the end" : `"${token.image}"`);
const anyOf = (labels: readonly string[]): string => [...new Set(labels)].join(", ").replace(/, ([^,]*)$/, " or $1");
const labelsOf = (paths: readonly (readonly TokenType[])[]): string => anyOf(paths.map((path) => path[0]?.LABEL ?? "more"));

const messages: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected, actual }) =>
    `expected ${expected.name === "EOF" ? '"fn" or the end' : (expected.LABEL ?? expected.name)}, found ${found(actual)}`,
  buildNotAllInputParsedMessage: ({ firstRedundant }) => `expected "fn" or the end, found ${found(firstRedundant)}`,
  buildNoViableAltMessage: ({ expectedPathsPerAlt, actual }) =>
    `expected ${labelsOf(expectedPathsPerAlt.flat())}, found ${found(actual[0])}`,
  buildEarlyExitMessage: ({ expectedIterationPaths, actual }) =>
    `expected ${labelsOf(expectedIterationPaths)}, found ${found(actual[0])}`,
};

function commentsByLine(tokens: readonly IToken[]): Map<number, string> {
  return new Map(tokens.map((token) => [token.startLine!, token.image]));
}

/** `// dit.graph.ts:41:12` as a place; any other comment is only a comment. */
function readLoc(comment: string | undefined): Loc | undefined {
  const m = /^\/\/ ?(.+):(\d+):(\d+)\s*$/.exec(comment ?? "");
  return m ? { file: m[1]!, line: Number(m[2]), column: Number(m[3]) } : undefined;
}

const word = (token: IToken, text = token.image): Word => ({
  text,
  at: { line: token.startLine!, column: token.startColumn!, length: token.image.length },
});

class IrParser extends EmbeddedActionsParser {
  /** Comment of each line, for the places of nodes. */
  comments: ReadonlyMap<number, string> = new Map();

  constructor() {
    super(vocabulary, { recoveryEnabled: true, errorMessageProvider: messages });
    this.performSelfAnalysis();
  }

  readonly module = this.RULE("module", (): ModuleSyntax => {
    this.CONSUME(moduleWord);
    const stage = word(this.CONSUME(ident));
    const fns: FnSyntax[] = [];
    this.MANY(() => fns.push(this.SUBRULE(this.fn)));
    return { stage, fns };
  });

  private readonly fn = this.RULE("fn", (): FnSyntax => {
    const fn = { params: [], nodes: [] as NodeSyntax[], results: [] } as {
      -readonly [K in "params" | "nodes" | "results"]: FnSyntax[K][number][];
    };
    this.CONSUME(fnWord);
    const name = this.SUBRULE(this.callee);
    this.CONSUME(open);
    this.MANY_SEP({ SEP: comma, DEF: () => fn.params.push(this.SUBRULE(this.param)) });
    this.CONSUME(close);
    this.CONSUME(openBrace);
    this.MANY(() => fn.nodes.push(this.SUBRULE(this.node)));
    this.CONSUME(returnWord);
    this.MANY_SEP2({ SEP: comma, DEF: () => fn.results.push(this.SUBRULE(this.result)) });
    this.CONSUME(closeBrace);
    return { name, ...fn };
  });

  private readonly param = this.RULE("param", (): FnSyntax["params"][number] => {
    const ref = this.SUBRULE(this.ref);
    this.CONSUME(colon);
    const kind = word(this.CONSUME(ident));
    const name = this.OPTION(() => this.SUBRULE(this.string));
    return { value: ref, kind, name, type: this.SUBRULE(this.type) };
  });

  private readonly result = this.RULE("result", (): FnSyntax["results"][number] => {
    const name = this.SUBRULE(this.name);
    this.CONSUME(equals);
    return { name, value: this.SUBRULE(this.ref) };
  });

  private readonly node = this.RULE("node", (): NodeSyntax => {
    const outputs: Word[] = [];
    const inputs: Word[] = [];
    const types: TypeSyntax[] = [];
    this.AT_LEAST_ONE_SEP({ SEP: comma, DEF: () => outputs.push(this.SUBRULE(this.ref)) });
    this.CONSUME(equals);
    const op = word(this.CONSUME(ident));
    this.CONSUME(open);
    this.MANY_SEP({ SEP: comma, DEF: () => inputs.push(this.SUBRULE2(this.ref)) });
    this.CONSUME(close);
    const attrs = this.OPTION(() => this.SUBRULE(this.attrs)) ?? [];
    this.CONSUME(colon);
    this.AT_LEAST_ONE_SEP2({ SEP: comma, DEF: () => types.push(this.SUBRULE(this.type)) });
    return { outputs, op, inputs, attrs, types, loc: readLoc(this.comments.get(this.LA(0).startLine ?? 0)) };
  });

  private readonly attrs = this.RULE("attrs", (): NodeSyntax["attrs"] => {
    const list: NodeSyntax["attrs"][number][] = [];
    this.CONSUME(openBrace);
    this.AT_LEAST_ONE_SEP({
      SEP: comma,
      DEF: () => {
        const key = word(this.CONSUME(ident));
        this.CONSUME(equals);
        list.push({ key, value: this.SUBRULE(this.attr) });
      },
    });
    this.CONSUME(closeBrace);
    return list;
  });

  private readonly attr = this.RULE(
    "attr",
    (): AttrSyntax =>
      this.OR<AttrSyntax>([
        { ALT: () => ({ form: "string", word: this.SUBRULE(this.string) }) },
        { ALT: () => ({ form: "fn", word: this.SUBRULE(this.callee) }) },
        { ALT: () => this.SUBRULE(this.list) },
        { ALT: () => ({ form: "type", type: this.SUBRULE(this.type) }) },
        { ALT: () => ({ form: "words", word: this.SUBRULE(this.words) }) },
      ]),
  );

  private readonly list = this.RULE("list", (): AttrSyntax => {
    const items: Word[] = [];
    const start = this.CONSUME(openBracket);
    this.MANY_SEP({
      SEP: comma,
      DEF: () => items.push(this.OR([{ ALT: () => this.SUBRULE(this.string) }, { ALT: () => this.SUBRULE(this.words) }])),
    });
    this.CONSUME(closeBracket);
    return { form: "list", items, at: word(start).at };
  });

  private readonly type = this.RULE("type", (): TypeSyntax => {
    const axes: TypeSyntax["axes"][number][] = [];
    const dtype = word(this.CONSUME(ident));
    this.CONSUME(openBracket);
    this.MANY_SEP({
      SEP: comma,
      DEF: () => {
        const name = this.SUBRULE(this.name);
        this.CONSUME(colon);
        axes.push({ name, size: this.SUBRULE(this.words) });
      },
    });
    this.CONSUME(closeBracket);
    return { dtype, axes };
  });

  /** The tokens of a number, a size or a word, as one text. */
  private readonly words = this.RULE("words", (): Word => {
    const tokens: IToken[] = [];
    this.AT_LEAST_ONE(() =>
      tokens.push(
        this.OR([{ ALT: () => this.CONSUME(number) }, { ALT: () => this.CONSUME(ident) }, { ALT: () => this.CONSUME(sign) }]),
      ),
    );
    return this.ACTION(() => word(tokens[0]!, tokens.map((token) => token.image).join("")));
  });

  private readonly name = this.RULE(
    "plainOrQuoted",
    (): Word => this.OR([{ ALT: () => word(this.CONSUME(ident)) }, { ALT: () => this.SUBRULE(this.string) }]),
  );

  private readonly string = this.RULE("string", (): Word => {
    const token = this.CONSUME(quoted);
    return this.ACTION(() => ({ ...word(token, token.image === "" ? "" : (JSON.parse(token.image) as string)), quoted: true }));
  });

  private readonly ref = this.RULE("ref", (): Word => {
    const token = this.CONSUME(value);
    return word(token, token.image.slice(1));
  });

  private readonly callee = this.RULE("callee", (): Word => {
    const token = this.CONSUME(fnName);
    return word(token, token.image.slice(1));
  });
}

const parser = new IrParser();
