/**
 * CRC-32 as zip and PNG have it (polynomial 0xEDB88320), eight bytes a step by eight tables ("slicing by 8", Kounavis and Berry 2005): a
 * checkpoint of gigabytes passes through it. Plain JavaScript, because a page has nothing of the kind and Node only from 22 on.
 */
const tables: readonly Uint32Array[] = (() => {
  const first = Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    return c;
  });
  const all = [first];
  for (let k = 1; k < 8; k++) all.push(all[k - 1]!.map((c) => (c >>> 8) ^ first[c & 255]!));
  return all;
})();

/** The sum of what came before (`sum`) and these bytes. */
export function crc32(bytes: Uint8Array, sum = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as readonly Uint32Array[] & { readonly length: 8 };
  let c = ~sum;
  let i = 0;
  for (const end = bytes.length - 7; i < end; i += 8) {
    c ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    c =
      t7![c & 255]! ^
      t6![(c >>> 8) & 255]! ^
      t5![(c >>> 16) & 255]! ^
      t4![c >>> 24]! ^
      t3![bytes[i + 4]!]! ^
      t2![bytes[i + 5]!]! ^
      t1![bytes[i + 6]!]! ^
      t0![bytes[i + 7]!]!;
  }
  for (; i < bytes.length; i++) c = t0![(c ^ bytes[i]!) & 255]! ^ (c >>> 8);
  return ~c >>> 0;
}
