// matmul-matrix: C[m,n] = Σk A[m,k] · B[k,n] on matrix units. A workgroup makes BM × BN results and goes along K in steps of BK. Its
// threads fetch a tile of A and one of B between them, as matmul-workgroup does: in blocks of four by four, each number once, those of the
// next step on their way while this one is multiplied. The tiles hold the f16 that lie in storage, k by k; PAD more at the end of each k
// put neighbouring k into different banks.
//   SM × SN subgroups have a part of the results each, FM × FN matrices of TM × TN in f32. SLICES times as many subgroups as that take
// their own part of every step's k; what they make is added when it is stored, in fixed order.
//   What a lane holds of a matrix is the device's business, so results go through memory, one matrix of each subgroup at a time, and all
// threads store them, four neighbours at once.
//   Subgroups are told apart by subgroup_id, which is the same for all lanes of one: a place that is not would be an error of WGSL.
alias Left = subgroup_matrix_left<f16, TK, TM>;
alias Right = subgroup_matrix_right<f16, TN, TK>;
alias Result = subgroup_matrix_result<f32, TN, TM>;
const LDA = BM + PAD;
const LDB = BN + PAD;
const PLACES = SM * SN;
const BLOCKS = (BM + BN) * BK / 16u;
const STEPS = BK / SLICES / TK;
const QUADS = 8u;
var<workgroup> tile_a: array<f16, BK * LDA>;
var<workgroup> tile_b: array<f16, BK * LDB>;
var<workgroup> results: array<f32, PLACES * SLICES * TM * TN>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32, @builtin(subgroup_id) subgroup: u32) {
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
  let slice = subgroup / PLACES;
  let row = (subgroup % PLACES) / SN * FM * TM;
  let column = subgroup % SN * FN * TN;

  var sum: array<Result, FM * FN>;
  var left: array<Left, FM>;
  var total_a = 0.0;
  var total_b = 0.0;
  var next: array<mat4x4h, FETCHES>;
  // Before the first step there is nothing to multiply, in the last nothing more to fetch.
  for (var step = 0u; step < K + BK; step += BK) {
    if (step > 0u) {
      for (var f = 0u; f < FETCHES; f++) { // unroll
        let i = f * THREADS + lid;
        let found = next[f];
        if (i < BLOCKS) {
          let own = 4u * (i % QUADS + i / (QUADS * BK / 4u) * QUADS);
          let k = (i / QUADS) % (BK / 4u) * 4u;
          if (own < BM) {
            for (var j = 0u; j < 4u; j++) { // unroll
              let at = (k + j) * LDA + own;
              tile_a[at] = found[j].x;
              tile_a[at + 1u] = found[j].y;
              tile_a[at + 2u] = found[j].z;
              tile_a[at + 3u] = found[j].w;
            }
          } else {
            for (var j = 0u; j < 4u; j++) { // unroll
              let at = (k + j) * LDB + own - BM;
              tile_b[at] = found[j].x;
              tile_b[at + 1u] = found[j].y;
              tile_b[at + 2u] = found[j].z;
              tile_b[at + 3u] = found[j].w;
            }
          }
        }
      }
    }
    workgroupBarrier();
    if (step < K) {
      for (var f = 0u; f < FETCHES; f++) { // unroll
        let i = f * THREADS + lid;
        if (i < BLOCKS) {
          let own = 4u * (i % QUADS + i / (QUADS * BK / 4u) * QUADS);
          let k = step + (i / QUADS) % (BK / 4u) * 4u;
          if (own < BM) {
            next[f] = mat4x4h(block_a(a_base, m0 + own, k));
          } else {
            next[f] = mat4x4h(block_b(b_base, n0 + own - BM, k));
          }
        }
      }
    }
    if (step > 0u) {
      for (var s = 0u; s < STEPS; s++) {
        let k = (slice * STEPS + s) * TK;
        for (var i = 0u; i < FM; i++) { // unroll
          left[i] = subgroupMatrixLoad<Left, col_major>(&tile_a, k * LDA + row + i * TM, LDA);
        }
        for (var j = 0u; j < FN; j++) { // unroll
          let right = subgroupMatrixLoad<Right, row_major>(&tile_b, k * LDB + column + j * TN, LDB);
          for (var i = 0u; i < FM; i++) { // unroll
            sum[i * FN + j] = subgroupMatrixMultiplyAccumulate(left[i], right, sum[i * FN + j]);
          }
        }
      }
      // Sums of an operand over k ride along: those of A in the first tile of columns, those of B in the first of rows.
      if (SUM_A && n0 == 0u && lid < BM) {
        for (var k = 0u; k < BK; k++) {
          total_a += f32(tile_a[k * LDA + lid]);
        }
      }
      if (SUM_B && m0 == 0u && lid < BN) {
        for (var k = 0u; k < BK; k++) {
          total_b += f32(tile_b[k * LDB + lid]);
        }
      }
    }
    workgroupBarrier();
  }

  for (var i = 0u; i < FM; i++) { // unroll
    for (var j = 0u; j < FN; j++) { // unroll
      subgroupMatrixStore<row_major>(&results, subgroup * TM * TN, sum[i * FN + j], TN);
      workgroupBarrier();
      for (var four = lid; four < PLACES * TM * TN / 4u; four += THREADS) {
        let place = four / (TM * TN / 4u);
        let m = m0 + (place / SN * FM + i) * TM + four / (TN / 4u) % TM;
        let n = n0 + (place % SN * FN + j) * TN + four % (TN / 4u) * 4u;
        if (m < M) {
          store_row(c_base, m, n, batch, total(four));
        }
      }
      workgroupBarrier();
    }
  }

  if (SUM_A && n0 == 0u && lid < BM && m0 + lid < M) {
    store_sum_a(m0 + lid, batch, total_a);
  }
  if (SUM_B && m0 == 0u && lid < BN && n0 + lid < N) {
    store_sum_b(n0 + lid, batch, total_b);
  }
}

// Four neighbouring results, of all slices.
fn total(four: u32) -> vec4f {
  var value = vec4f();
  for (var s = 0u; s < SLICES; s++) {
    let at = s * PLACES * TM * TN + 4u * four;
    value += vec4f(results[at], results[at + 1u], results[at + 2u], results[at + 3u]);
  }
  return value;
}
