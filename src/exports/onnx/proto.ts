/**
 * The messages of ONNX that an export needs, with the field numbers of onnx.proto (IR version 8, which opset 17 belongs to).
 */
import type { DType } from "../../ir/types.js";
import { Message, type Piece } from "./protobuf.js";

export const OPSET = 17;
const IR_VERSION = 8;

/** TensorProto.DataType. */
export const dataTypes = { f32: 1, i32: 6, i64: 7, bool: 9, f16: 10, u32: 12 } as const satisfies Record<DType | "i64", number>;
export type OnnxType = keyof typeof dataTypes;

/** AttributeProto.AttributeType. */
const FLOAT = 1;
const INT = 2;
const INTS = 7;

/** A number that is not whole, or is wrapped so, is a float; the ops here have no string attributes. */
export type Attribute = number | { readonly float: number } | readonly number[];

export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  /** Where in the model file it comes from. */
  readonly doc?: string | undefined;
}

/** A constant of the graph: its bytes here, or at a place of the file beside it. */
export interface OnnxTensor {
  readonly name: string;
  readonly dtype: OnnxType;
  readonly shape: readonly number[];
  readonly data: Piece | { readonly location: string; readonly offset: number; readonly length: number };
}

/** An input or a result; a dimension of unknown size has a name. */
export interface OnnxPort {
  readonly name: string;
  readonly dtype: OnnxType;
  readonly shape: readonly (number | string)[];
}

export interface OnnxGraph {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly tensors: readonly OnnxTensor[];
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
}

/** ModelProto. `notes` are shown by viewers. */
export function modelProto(
  graph: OnnxGraph,
  producer: { name: string; version: string },
  notes: Record<string, string>,
): Message {
  const opset = new Message().string(1, "").int(2, OPSET);
  return new Message()
    .int(1, IR_VERSION)
    .string(2, producer.name)
    .string(3, producer.version)
    .message(7, graphProto(graph))
    .message(8, opset)
    .messages(
      14,
      Object.entries(notes).map(([key, value]) => entry(key, value)),
    );
}

/** GraphProto. */
const graphProto = ({ name, nodes, tensors, inputs, outputs }: OnnxGraph): Message =>
  new Message()
    .messages(1, nodes.map(nodeProto))
    .string(2, name)
    .messages(5, tensors.map(tensorProto))
    .messages(11, inputs.map(portProto))
    .messages(12, outputs.map(portProto));

/** NodeProto; a node is named after what it makes. */
function nodeProto({ op, inputs, outputs, attributes, doc }: OnnxNode): Message {
  const message = new Message()
    .strings(1, inputs)
    .strings(2, outputs)
    .string(3, outputs[0]!)
    .string(4, op)
    .messages(
      5,
      Object.entries(attributes).map(([name, value]) => attributeProto(name, value)),
    );
  return doc === undefined ? message : message.string(6, doc);
}

function attributeProto(name: string, value: Attribute): Message {
  const message = new Message().string(1, name);
  if (typeof value === "number") return message.int(3, value).int(20, INT);
  return "float" in value ? message.float(2, value.float).int(20, FLOAT) : message.ints(8, value).int(20, INTS);
}

/** TensorProto; EXTERNAL data is named by file, offset and length. */
function tensorProto({ name, dtype, shape, data }: OnnxTensor): Message {
  const message = new Message().ints(1, shape).int(2, dataTypes[dtype]).string(8, name);
  if (!("location" in data)) return message.bytes(9, data);
  const place = { location: data.location, offset: String(data.offset), length: String(data.length) };
  return message
    .messages(
      13,
      Object.entries(place).map(([key, value]) => entry(key, value)),
    )
    .int(14, 1);
}

/** StringStringEntryProto. */
const entry = (key: string, value: string): Message => new Message().string(1, key).string(2, value);

/** ValueInfoProto with TypeProto.Tensor and TensorShapeProto. */
function portProto({ name, dtype, shape }: OnnxPort): Message {
  const dims = shape.map((size) => (typeof size === "number" ? new Message().int(1, size) : new Message().string(2, size)));
  const tensor = new Message().int(1, dataTypes[dtype]).message(2, new Message().messages(1, dims));
  return new Message().string(1, name).message(2, new Message().message(1, tensor));
}
