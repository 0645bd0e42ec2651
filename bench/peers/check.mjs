// Whether a program's numbers are ours. f32 arithmetic in another order differs by about 1e-6 of a tensor's largest value after a
// forward pass and 1e-5 after a backward one; a wrong term, mask, transpose or approximation by 1e-3 and more. The limits lie between.
const limits = { out: 1e-4, losses: 1e-4, gradient: 1e-3 };

/** Per kind of result the tensor that differs most: { name, maxAbs, relative: of the largest expected value, limit }. */
export function differences(expected, found) {
  const worst = {};
  for (const [name, data] of found) {
    const kind = name.split(/[ ,]/)[0];
    const wanted = expected.get(name);
    const maxAbs = wanted?.length === data.length ? largest(wanted, (value, i) => value - data[i]) : Number.POSITIVE_INFINITY;
    const relative = maxAbs / largest(wanted ?? [1], (value) => value);
    if (!(relative <= worst[kind]?.relative)) worst[kind] = { name, maxAbs, relative, limit: limits[kind] };
  }
  return Object.values(worst);
}

/** Nothing differs too much, nothing is missing, and the device has not complained. */
export const right = (check, errors = []) => check.every(({ relative, limit }) => relative <= limit) && errors.length === 0;

/** Not a number counts as infinitely large. */
function largest(values, of) {
  let found = 0;
  for (let i = 0; i < values.length; i++) {
    const value = Math.abs(of(values[i], i));
    if (!(value <= found)) found = value;
    if (Number.isNaN(value)) return Number.POSITIVE_INFINITY;
  }
  return found;
}
