// Iterator helpers as browsers and Node 22 have them, for programs that take them for granted, in Node 20.
const iterators = Object.getPrototypeOf(Object.getPrototypeOf([].values()));

const helpers = {
  *map(of) {
    let i = 0;
    for (const value of this) yield of(value, i++);
  },
  *filter(keeps) {
    let i = 0;
    for (const value of this) if (keeps(value, i++)) yield value;
  },
  *flatMap(of) {
    let i = 0;
    for (const value of this) yield* of(value, i++);
  },
  ...Object.fromEntries(
    ["some", "every", "find", "forEach", "reduce"].map((name) => [
      name,
      function (...given) {
        return [...this][name](...given);
      },
    ]),
  ),
  toArray() {
    return [...this];
  },
};

for (const [name, value] of Object.entries(helpers)) {
  if (!(name in iterators)) Object.defineProperty(iterators, name, { value, configurable: true, writable: true });
}
