/**
 * Reader of Python's pickles, protocol 2, that executes nothing. A pickle is a program for a small stack machine; its dangerous
 * instructions look up a Python object by name and call it. Here a name is looked up in a table that the caller gives, whose few rows
 * build plain data, and any other name is refused. So a file can say what it wants: it gets data, or an error with the byte.
 *
 * Source: the opcodes as the module pickletools of Python documents them.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { shown } from "../program/shown.js";

/** A value: Python's plain ones (lists and tuples are arrays, dicts are maps), or what a row of the table has made. */
export type Pickled = null | boolean | number | bigint | string | readonly Pickled[] | ReadonlyMap<Pickled, Pickled> | object;

/** What stands for a Python object that may be named. Each function checks what it gets, and calls `refuse` with what is wrong. */
export interface Known {
  /** `name(*args)`, and `name.__new__(name, *args)`. */
  readonly make?: (args: readonly Pickled[], refuse: (what: string) => never) => Pickled;
}

export interface PickleOptions {
  /** Names the file, and the part of it, in errors. */
  readonly label: string;
  /** By "module name". */
  readonly known: ReadonlyMap<string, Known>;
  /** A reference to something outside of the pickle. */
  readonly persistent: (id: Pickled, refuse: (what: string) => never) => Pickled;
  /** What `object.__setstate__(state)` does. */
  readonly build: (object: Pickled, state: Pickled, refuse: (what: string) => never) => undefined;
}

/** What the opcode GLOBAL leaves on the stack: one of the table's rows, which is not data by itself. */
export class Global {
  readonly name: string;
  readonly known: Known;

  constructor(name: string, known: Known) {
    this.name = name;
    this.known = known;
  }
}

/** A training checkpoint of the largest model takes 70,000 instructions: more than this is no checkpoint, and would fill the memory. */
const MOST_INSTRUCTIONS = 1_000_000;
const HELP = "the file is damaged, or was not written by torch.save: get it again";

/** The value that a pickle describes. Errors: DIT4072 (damaged, or an opcode that is not read), DIT4073 (a name that is not known). */
export function unpickle(bytes: Uint8Array, options: PickleOptions): Pickled {
  return new Machine(bytes, options).run();
}

const MARK = Symbol("mark");
type Slot = Pickled | typeof MARK;

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #options: PickleOptions;
  readonly #stack: Slot[] = [];
  readonly #memo = new Map<number, Pickled>();
  #at = 0;
  /** Where the current instruction begins. */
  #begin = 0;

  constructor(bytes: Uint8Array, options: PickleOptions) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#options = options;
  }

  run(): Pickled {
    for (let count = 0; count < MOST_INSTRUCTIONS; count++) {
      this.#begin = this.#at;
      const opcode = this.#bytes[this.#skip(1)]!;
      if (opcode === STOP) return this.#end();
      const pushed = this.#step(opcode);
      if (pushed !== undefined) this.#stack.push(pushed);
    }
    return this.#bad(`it has more than ${MOST_INSTRUCTIONS} instructions`);
  }

  #end(): Pickled {
    const value = this.#pop();
    if (this.#stack.length > 0) this.#bad(`it ends with ${this.#stack.length + 1} values, expected one`);
    if (this.#at !== this.#bytes.length) this.#bad(`${this.#bytes.length - this.#at} bytes follow its end`);
    return value;
  }

  readonly #bad = (what: string): never =>
    fail("DIT4072", `${this.#options.label}, byte ${this.#begin}: ${what}`, { help: HELP });

  /** One instruction: the value that it pushes, or undefined. */
  #step(opcode: number): Slot | undefined {
    switch (opcode) {
      case 0x80: {
        const version = this.#bytes[this.#skip(1)]!;
        return version === 2 ? undefined : this.#bad(`it is written in protocol ${version}, expected 2, which torch.save writes`);
      }
      case 0x28:
        return MARK;
      case 0x30: // POP
        return void this.#pop();
      case 0x31: // POP_MARK
        return void this.#toMark();
      case 0x32: // DUP
        return this.#top();
      case 0x4e: // NONE
        return null;
      case 0x88: // NEWTRUE
        return true;
      case 0x89: // NEWFALSE
        return false;
      case 0x4a: // BININT
        return this.#view.getInt32(this.#skip(4), true);
      case 0x4b: // BININT1
        return this.#byte();
      case 0x4d: // BININT2
        return this.#view.getUint16(this.#skip(2), true);
      case 0x8a: // LONG1
        return this.#long(this.#byte());
      case 0x47: // BINFLOAT
        return this.#view.getFloat64(this.#skip(8), false);
      case 0x58: // BINUNICODE
        return this.#text(this.#word());
      case 0x55: // SHORT_BINSTRING
        return this.#text(this.#byte());
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        return [];
      case 0x7d: // EMPTY_DICT
        return new Map();
      case 0x74: // TUPLE
        return this.#toMark();
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return Array.from({ length: opcode - 0x84 }, () => this.#pop()).reverse();
      case 0x61: // APPEND
        return this.#append([this.#pop()]);
      case 0x65: // APPENDS
        return this.#append(this.#toMark());
      case 0x73: // SETITEM
        return this.#setItems([this.#pop(), this.#pop()].reverse());
      case 0x75: // SETITEMS
        return this.#setItems(this.#toMark());
      case 0x71: // BINPUT
        return void this.#memo.set(this.#byte(), this.#top());
      case 0x72: // LONG_BINPUT
        return void this.#memo.set(this.#word(), this.#top());
      case 0x68: // BINGET
        return this.#get(this.#byte());
      case 0x6a: // LONG_BINGET
        return this.#get(this.#word());
      case 0x63: // GLOBAL
        return this.#global(`${this.#line()} ${this.#line()}`);
      case 0x52: // REDUCE
      case 0x81: // NEWOBJ
        return this.#call(this.#pop(), this.#pop());
      case 0x62: {
        // BUILD
        const state = this.#pop();
        return this.#options.build(this.#top(), state, this.#bad);
      }
      case 0x51: // BINPERSID
        return this.#options.persistent(this.#pop(), this.#bad);
      default:
        return this.#bad(`opcode 0x${opcode.toString(16).padStart(2, "0")} is not one that torch.save writes`);
    }
  }

  /** Moves on by so many bytes, which must be there; where they begin. */
  #skip(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) {
      this.#bad(`it needs ${count} bytes, and ends after ${this.#bytes.length - at}`);
    }
    this.#at += count;
    return at;
  }

  #byte(): number {
    return this.#bytes[this.#skip(1)]!;
  }

  #word(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  #pop(): Pickled {
    const value = this.#stack.pop();
    if (value === undefined) return this.#bad("it takes a value from an empty stack");
    return value === MARK ? this.#bad("it takes a value where a mark is") : (value as Pickled);
  }

  #top(): Pickled {
    const value = this.#pop();
    this.#stack.push(value);
    return value;
  }

  /** All that was pushed since the last mark. */
  #toMark(): Pickled[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) return this.#bad("it looks for a mark, and there is none");
    const items = this.#stack.splice(mark);
    items.shift();
    return items as Pickled[];
  }

  #append(items: readonly Pickled[]): undefined {
    const list = this.#top();
    if (!Array.isArray(list)) return this.#bad(`it appends to ${describe(list)}, expected a list`);
    for (const item of items) list.push(item);
  }

  #setItems(items: readonly Pickled[]): undefined {
    const dict = this.#top();
    if (!(dict instanceof Map)) return this.#bad(`it sets an item of ${describe(dict)}, expected a dict`);
    if (items.length % 2 > 0) return this.#bad("it sets a key without a value");
    for (let i = 0; i < items.length; i += 2) dict.set(items[i]!, items[i + 1]!);
  }

  #get(index: number): Pickled {
    const value = this.#memo.get(index);
    return value === undefined ? this.#bad(`it reads slot ${index} of its memo, which is empty`) : value;
  }

  #call(args: Pickled, what: Pickled): Pickled {
    if (!(what instanceof Global)) return this.#bad(`it calls ${describe(what)}, expected the name of a function or class`);
    const { make } = what.known;
    if (!make || !Array.isArray(args)) return this.#bad(`it calls ${describe(what)} with ${describe(args)}`);
    return make(args, (wrong) => this.#bad(`${describe(what)}: ${wrong}`));
  }

  #global(name: string): Global {
    const known = this.#options.known.get(name);
    if (known) return new Global(name, known);
    const path = name.replace(" ", ".");
    return fail("DIT4073", `${this.#options.label}, byte ${this.#begin}: it asks for the Python object ${shown(path)}`, {
      notes: [
        "a checkpoint needs none of Python but a few names for tensors; others are refused, because a pickle could run any program by them",
        `known are ${[...this.#options.known.keys()].map((key) => key.replace(" ", ".")).join(", ")}`,
      ],
      help: "if you trust the file, load it with PyTorch and save its tensors alone: torch.save(model.state_dict(), FILE)",
    });
  }

  #text(length: number): string {
    const begin = this.#skip(length);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.#bytes.subarray(begin, begin + length));
    } catch {
      return this.#bad("a text is not UTF-8");
    }
  }

  /** Up to the end of the line. */
  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) return this.#bad("a name has no end");
    const text = this.#text(end - this.#at);
    this.#skip(1);
    return text;
  }

  /** A whole number of so many bytes, least first, in two's complement. */
  #long(length: number): number | bigint {
    const begin = this.#skip(length);
    let n = 0n;
    for (let i = length - 1; i >= 0; i--) n = (n << 8n) | BigInt(this.#bytes[begin + i]!);
    n = BigInt.asIntN(8 * length, n);
    const small = Number(n);
    return Number.isSafeInteger(small) ? small : n;
  }
}

const STOP = 0x2e;

/** A value in a sentence, without following what it holds: that may have no end. */
export function describe(value: Pickled): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (value instanceof Map) return `a dict of ${value.size}`;
  if (value instanceof Global) return value.name.replace(" ", ".");
  if (typeof value === "bigint") return `the number ${shown(String(value)).replaceAll('"', "")}`;
  return typeof value === "object" && value !== null ? `a ${value.constructor.name}` : shown(value);
}
