/**
 * The wire format of protocol buffers, for writing alone. A library would hold a whole file in memory, up to the format's 2 GB; here a
 * message is a list of pieces, and a piece may be numbers that are fetched when it is their turn, so a file of any size takes the memory
 * of its largest tensor. What is written: varints, 32-bit floats, strings, bytes and messages.
 */

/** Bytes that are there, or that come when they are written. */
export type Piece = Uint8Array | { readonly length: number; read(): Promise<Uint8Array> };

const VARINT = 0;
const BYTES = 2;
const FLOAT = 5;
const text = new TextEncoder();

export class Message {
  readonly pieces: Piece[] = [];
  length = 0;

  /** int32, int64 and enums; a negative number takes ten bytes. */
  int(field: number, value: number): this {
    return this.#add(varint((field << 3) | VARINT), varint(value));
  }

  ints(field: number, values: readonly number[]): this {
    for (const value of values) this.int(field, value);
    return this;
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.#add(varint((field << 3) | FLOAT), bytes);
  }

  string(field: number, value: string): this {
    return this.bytes(field, text.encode(value));
  }

  strings(field: number, values: readonly string[]): this {
    for (const value of values) this.string(field, value);
    return this;
  }

  bytes(field: number, piece: Piece): this {
    return this.#add(varint((field << 3) | BYTES), varint(piece.length), piece);
  }

  message(field: number, message: Message): this {
    return this.#add(varint((field << 3) | BYTES), varint(message.length), ...message.pieces);
  }

  messages(field: number, messages: readonly Message[]): this {
    for (const message of messages) this.message(field, message);
    return this;
  }

  #add(...pieces: readonly Piece[]): this {
    for (const piece of pieces) {
      this.pieces.push(piece);
      this.length += piece.length;
    }
    return this;
  }
}

/** Seven bits a byte, the lowest first; negative numbers as 64-bit two's complement. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}
