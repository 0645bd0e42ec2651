// matmul-few: C[m,n] = Σk A[m,k] · B[k,n] for few rows, where B (a weight) is nearly all there is to read. A workgroup owns 4 · GROUPS
// columns and ROWS rows: LANES threads share four columns and divide K among them, so that each number of B is read once for all rows and
// enough threads run however few the columns are. At the end the lanes' parts are added in workgroup memory, PASS rows at a time, in fixed
// order. More than ROWS rows are more workgroups.
//   B_ALONG_K: B lies k by k (weights stored [out, in]), lanes of four columns are neighbours      else column by column, groups are
var<workgroup> parts: array<vec4f, PASS * THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let tiles_n = (N + 4u * GROUPS - 1u) / (4u * GROUPS);
  let tiles_m = (M + ROWS - 1u) / ROWS;
  let tile = group_id(wid);
  if (tile >= tiles_n * tiles_m * BATCH0 * BATCH1) {
    return;
  }
  let n0 = (tile % tiles_n) * 4u * GROUPS;
  let m0 = ((tile / tiles_n) % tiles_m) * ROWS;
  let batch = tile / (tiles_n * tiles_m);
  let a_base = A_OFFSET + (batch / BATCH1) * A_BATCH0 + (batch % BATCH1) * A_BATCH1;
  let b_base = B_OFFSET + (batch / BATCH1) * B_BATCH0 + (batch % BATCH1) * B_BATCH1;
  let c_base = C_OFFSET + (batch / BATCH1) * C_BATCH0 + (batch % BATCH1) * C_BATCH1;
  let lane = select(lid / GROUPS, lid % LANES, B_ALONG_K);
  let group = select(lid % GROUPS, lid / LANES, B_ALONG_K);

  var sum: array<vec4f, ROWS>;
  for (var k = 4u * lane; k < K; k += 4u * LANES) {
    let b = block_b(b_base, n0 + 4u * group, k);
    for (var r = 0u; r < ROWS; r++) { // unroll
      sum[r] += b * row_a(a_base, m0 + r, k);
    }
  }
  for (var first = 0u; first < ROWS; first += PASS) { // unroll
    for (var r = 0u; r < PASS; r++) { // unroll
      parts[r * THREADS + lid] = sum[first + r];
    }
    workgroupBarrier();
    for (var i = lid; i < PASS * GROUPS; i += THREADS) {
      let g = i % GROUPS;
      let r = i / GROUPS;
      let m = m0 + first + r;
      var value = vec4f();
      for (var l = 0u; l < LANES; l++) {
        value += parts[r * THREADS + select(l * GROUPS + g, g * LANES + l, B_ALONG_K)];
      }
      if (m < M) {
        store_row(c_base, m, n0 + 4u * g, batch, value);
      }
    }
    workgroupBarrier();
  }
}
