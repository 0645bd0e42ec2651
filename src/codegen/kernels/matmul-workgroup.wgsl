// matmul-workgroup: C[m,n] = Σk A[m,k] · B[k,n] through workgroup memory. A workgroup makes BM × BN results and goes along K in steps of
// BK: its threads fetch a tile of A and one of B between them, each number once, in blocks of four by four, and then read from the tiles
// what they need. Both tiles lie k by k with four rows (columns) in a vec4, so a thread has TM rows and four columns for TM / 4 + 1 reads.
//   In a fetch, eight neighbours take the blocks of eight × four rows, the next eight those of the next four k: along K a row is read in
//   64 bytes together, along M in 128, and the eight store 128 bytes side by side, in different banks.
//   In the product, neighbours read neighbouring columns and, a row of threads all the same, the same rows.
const TILE_A = BM / 4u;
const TILE_B = BN / 4u;
var<workgroup> tile_a: array<vec4f, BK * TILE_A>;
var<workgroup> tile_b: array<vec4f, BK * TILE_B>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let tiles_n = (N + BN - 1u) / BN;
  let tiles_m = (M + BM - 1u) / BM;
  let group = group_id(wid);
  if (group >= tiles_n * tiles_m * BATCH0 * BATCH1) {
    return;
  }
  let n0 = (group % tiles_n) * BN;
  let m0 = ((group / tiles_n) % tiles_m) * BM;
  let batch = group / (tiles_n * tiles_m);
  let a_base = A_OFFSET + (batch / BATCH1) * A_BATCH0 + (batch % BATCH1) * A_BATCH1;
  let b_base = B_OFFSET + (batch / BATCH1) * B_BATCH0 + (batch % BATCH1) * B_BATCH1;
  let c_base = C_OFFSET + (batch / BATCH1) * C_BATCH0 + (batch % BATCH1) * C_BATCH1;
  let column = lid % WX;
  let row = lid / WX;

  var sum: array<vec4f, TM>;
  var total = vec4f();
  for (var k0 = 0u; k0 < K; k0 += BK) {
    for (var i = lid; i < (TILE_A + TILE_B) * BK / 4u; i += THREADS) {
      let quad = i % 8u + i / (2u * BK) * 8u;
      let k = (i / 8u) % (BK / 4u) * 4u;
      if (quad < TILE_A) {
        fetch_a(k * TILE_A + quad, a_base, m0 + 4u * quad, k0 + k);
      } else {
        let q = quad - TILE_A;
        fetch_b(k * TILE_B + q, b_base, n0 + 4u * q, k0 + k);
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < BK; k++) {
      let b = tile_b[k * TILE_B + column];
      for (var r = 0u; r < TM; r += 4u) { // unroll
        let a = tile_a[k * TILE_A + r / 4u * WY + row];
        sum[r] += a.x * b;
        sum[r + 1u] += a.y * b;
        sum[r + 2u] += a.z * b;
        sum[r + 3u] += a.w * b;
      }
    }
    // Sums of an operand over k ride along: those of A in the first tile of columns, those of B in the first of rows.
    if (SUM_A && n0 == 0u && lid < TILE_A) {
      var part = vec4f();
      for (var k = 0u; k < BK; k++) {
        part += tile_a[k * TILE_A + lid];
      }
      total += part;
    }
    if (SUM_B && m0 == 0u && lid >= TILE_A && lid < TILE_A + TILE_B) {
      var part = vec4f();
      for (var k = 0u; k < BK; k++) {
        part += tile_b[k * TILE_B + lid - TILE_A];
      }
      total += part;
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < TM; r++) { // unroll
    let m = m0 + 4u * (r / 4u * WY + row) + r % 4u;
    if (m < M) {
      store_row(c_base, m, n0 + 4u * column, batch, sum[r]);
    }
  }
  if (SUM_A && n0 == 0u && lid < TILE_A) {
    for (var j = 0u; j < 4u; j++) { // unroll
      if (m0 + 4u * lid + j < M) {
        store_sum_a(m0 + 4u * lid + j, batch, total[j]);
      }
    }
  }
  if (SUM_B && m0 == 0u && lid >= TILE_A && lid < TILE_A + TILE_B) {
    for (var j = 0u; j < 4u; j++) { // unroll
      if (n0 + 4u * (lid - TILE_A) + j < N) {
        store_sum_b(n0 + 4u * (lid - TILE_A) + j, batch, total[j]);
      }
    }
  }
}
