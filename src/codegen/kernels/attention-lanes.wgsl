// A subgroup of S lanes has TM rows of its own (queries, or keys) and goes along the other rows 4·S at a time. Products with them are a
// matmul of the subgroup form (matmul-subgroup.wgsl): a lane has four of the other rows, of which it loads a vector each at every step along
// the width; the vector of each own row is loaded by one lane and handed round. Weighted sums of the other rows are one in which a lane has
// every S-th vector of the width: the weights are handed round, the rows read once for all TM. No workgroup memory, no barrier.
// Results are stored in a loop over the own rows, which a driver leaves one: a store is long text for CPU vectors.

// Workgroups that share the rows of one batch.
fn blocks(rows: u32) -> u32 {
  return (rows + TM - 1u) / TM;
}

// Which of a lane's four rows from `first` on are below `rows`.
fn within(first: u32, rows: u32) -> vec4<bool> {
  return vec4u(first) + vec4u(0u, 1u, 2u, 3u) < vec4u(rows);
}

// The number of row `j` of a block, of which lane i has 4i … 4i + 3.
fn handed_round(x: vec4f, j: u32) -> f32 {
  return subgroupShuffle(x[j % 4u], j / 4u);
}

// Products of one vector with four: `x` with each of a, b, c, d.
fn four_products(x: vec4f, a: vec4f, b: vec4f, c: vec4f, d: vec4f) -> vec4f {
  return x.x * vec4f(a.x, b.x, c.x, d.x) + x.y * vec4f(a.y, b.y, c.y, d.y) + x.z * vec4f(a.z, b.z, c.z, d.z) + x.w * vec4f(a.w, b.w, c.w, d.w);
}

fn sum_of(x: vec4f) -> f32 {
  return x.x + x.y + x.z + x.w;
}
