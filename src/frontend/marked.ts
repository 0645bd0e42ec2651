/**
 * Call sites. A model file is emitted as CommonJS with every call in it marked, so that what runs inside the call knows its place:
 *
 *     const q = k.rename({ token: "key" });     becomes     const q = __method(17, k, "rename", [{ token: "key" }]);
 *     const y = block(x, 3);                    becomes     const y = __call(18, block, [x, 3]);
 *
 * 17 and 18 are indices into the list of sites. The source is untouched, and TypeScript is never interpreted as a language: marking
 * is the only change, and evaluation order stays what it was (callee, arguments, call). What __call and __method do stands in
 * markers.ts.
 */
import { ts } from "ts-morph";
import type { Site } from "../dsl/sites.js";

export interface Marked {
  readonly code: string;
  /** Its source map, as JSON. */
  readonly map: string;
  /** Whether the source was TypeScript at all: what is emitted of anything else means nothing. */
  readonly parsed: boolean;
}

/** Emits one file as CommonJS, appending its call sites to `sites`. `display` is the file's name in messages and in the IR. */
export function emitMarked(source: ts.SourceFile, display: string, sites: Site[]): Marked {
  const lines = source.text.split(/\r?\n/);
  const out = ts.transpileModule(source.text, {
    fileName: source.fileName,
    compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.CommonJS, sourceMap: true, inlineSources: false },
    transformers: { before: [marker(display, lines, sites)] },
    reportDiagnostics: true,
  });
  return {
    code: out.outputText.replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n"),
    map: out.sourceMapText ?? "{}",
    parsed: (out.diagnostics ?? []).length === 0,
  };
}

const marker =
  (display: string, lines: readonly string[], sites: Site[]): ts.TransformerFactory<ts.SourceFile> =>
  (context) =>
  (file) => {
    const f = context.factory;

    const site = (call: ts.CallExpression, at: ts.Node): ts.Expression => {
      const { line, character } = file.getLineAndCharacterOfPosition(at.getStart(file));
      const text = lines[line] ?? "";
      const variable = variableOf(call);
      const length = Math.max(1, Math.min(at.getEnd() - at.getStart(file), text.length - character));
      sites.push({ file: display, line: line + 1, column: character + 1, text, length, ...(variable ? { variable } : {}) });
      return f.createNumericLiteral(sites.length - 1);
    };

    const visit = (node: ts.Node): ts.Node => {
      if (!ts.isCallExpression(node) || !markable(node)) return ts.visitEachChild(node, visit, context);
      const callee = node.expression;
      const args = () => f.createArrayLiteralExpression(node.arguments.map((a) => ts.visitNode(a, visit) as ts.Expression));
      const call = (name: string, rest: readonly ts.Expression[]) =>
        ts.setTextRange(f.createCallExpression(f.createIdentifier(name), undefined, [...rest, args()]), node);
      if (ts.isPropertyAccessExpression(callee)) {
        // The place of a method call is its name, so that each step of a chain over several lines has its own.
        const self = ts.visitNode(callee.expression, visit) as ts.Expression;
        return call("__method", [site(node, callee.name), self, f.createStringLiteral(callee.name.text)]);
      }
      if (ts.isElementAccessExpression(callee)) {
        const self = ts.visitNode(callee.expression, visit) as ts.Expression;
        const key = ts.visitNode(callee.argumentExpression, visit) as ts.Expression;
        return call("__method", [site(node, callee.argumentExpression), self, key]);
      }
      return call("__call", [site(node, callee), ts.visitNode(callee, visit) as ts.Expression]);
    };
    return ts.visitNode(file, visit) as ts.SourceFile;
  };

/** Calls that must stay as written: import(), require, super, optional chains, private methods. */
function markable(call: ts.CallExpression): boolean {
  const callee = call.expression;
  if (ts.isOptionalChain(call) || callee.kind === ts.SyntaxKind.ImportKeyword || callee.kind === ts.SyntaxKind.SuperKeyword)
    return false;
  if (ts.isIdentifier(callee)) return callee.text !== "require";
  if (ts.isPropertyAccessExpression(callee) || ts.isElementAccessExpression(callee)) {
    return (
      callee.expression.kind !== ts.SyntaxKind.SuperKeyword &&
      !(ts.isPropertyAccessExpression(callee) && ts.isPrivateIdentifier(callee.name))
    );
  }
  return !ts.isParenthesizedExpression(callee) || ts.isFunctionLike(callee.expression);
}

/** The variable that a call initialises, or the names of an array pattern ("" for a hole). */
function variableOf(call: ts.CallExpression): string | readonly string[] | undefined {
  const parent = call.parent;
  if (!parent || !ts.isVariableDeclaration(parent) || parent.initializer !== call) return undefined;
  if (ts.isIdentifier(parent.name)) return parent.name.text;
  if (!ts.isArrayBindingPattern(parent.name)) return undefined;
  return parent.name.elements.map((e) => (ts.isBindingElement(e) && ts.isIdentifier(e.name) ? e.name.text : ""));
}
