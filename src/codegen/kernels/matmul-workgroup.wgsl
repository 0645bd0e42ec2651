// matmul-workgroup: C[m,n] = Σk A[m,k] · B[k,n] through workgroup memory. A workgroup makes BM × BN results and goes along K in steps of
// BK. Its threads fetch a tile of A and one of B between them, each number once, in blocks of four by four, and then read from the tiles
// what they need; the blocks of the next step are on their way while this step is multiplied. Both tiles lie k by k with four rows
// (columns) in a vec4, A's and then B's, so a thread has 4 · ROWS_A rows and 4 · NV columns for ROWS_A + NV reads.
//   The memory is nested, tile[k / 4][k % 4][rows]: k % 4 is a number in the text and a thread's rows are the same in every step, so for
// four k there is one place to find, and one check that Dawn adds, in place of one for each read. WHOLE: all of a step is in the text.
//   Neighbours by LANES_X × LANES_Y, which is a GPU's subgroup, are a block of results that is about square: what they read of both tiles at
// a time is the least.
//   The workgroup is SLICES times as many threads as the results need: each slice takes its own part of every step's k, and the slices'
//   results are added at the end, in fixed order. So a product of few results and a long K has enough threads to hide what waiting there is.
//   In a fetch, neighbours take blocks that lie side by side in memory: those of a row where the operand lies along K, else those of QUADS
//   neighbouring rows, the next QUADS those of the next four k. A GPU fetches and stores for eight threads at a time: from few cache lines
//   then, and into different banks, for which the places of rows are turned at each four k, by an exclusive or.
const TILE_A = BM / 4u;
const TILE_B = BN / 4u;
const SLICE = WX * WY;
const SUBGROUP = LANES_X * LANES_Y;
const BLOCKS = (TILE_A + TILE_B) * BK / 4u;
var<workgroup> tile: array<array<array<vec4f, WIDE>, 4>, FOURS>;

// Which block of a step is fetched: of which four rows, and which four k.
fn block_of(i: u32) -> vec2u {
  let first = i / (QUADS * FOURS) * QUADS;
  let place = i % (QUADS * FOURS);
  if ((first < TILE_A && A_ALONG_K) || (first >= TILE_A && B_ALONG_K)) {
    return vec2u(first + place / FOURS, place % FOURS);
  }
  return vec2u(first + place % QUADS, place / QUADS);
}

// What the places of rows at four k are turned by.
fn turn_of(at: u32) -> u32 {
  return at * max(1u, 8u / FOURS) % TURNS;
}

// The same memory as one row of vectors, for what comes after the product.
fn keep(i: u32, value: vec4f) {
  tile[i / (4u * WIDE)][i / WIDE % 4u][i % WIDE] = value;
}
fn kept(i: u32) -> vec4f {
  return tile[i / (4u * WIDE)][i / WIDE % 4u][i % WIDE];
}

// Of four rows, over all k of a step.
fn sum_of_step(quad: u32) -> vec4f {
  var sum = vec4f();
  for (var at = 0u; at < FOURS; at++) {
    for (var j = 0u; j < 4u; j++) { // unroll
      sum += tile[at][j][quad ^ turn_of(at)];
    }
  }
  return sum;
}

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
  let slice = lid / SLICE;
  let column = lid % LANES_X + lid / SUBGROUP % (WX / LANES_X) * LANES_X;
  let row = lid % SUBGROUP / LANES_X + lid % SLICE / (LANES_Y * WX) * LANES_Y;

  var sum: array<vec4f, RESULTS>;
  var a: array<vec4f, ROWS_A>;
  var total_a = vec4f();
  var total_b = vec4f();
  var next: array<mat4x4f, FETCHES>;
  // Before the first step there is nothing to multiply, in the last nothing more to fetch.
  for (var step = K_FROM; step < K_TO + BK; step += BK) {
    if (step > K_FROM) {
      for (var f = 0u; f < FETCHES; f++) { // unroll
        let i = f * THREADS + lid;
        let found = next[f];
        if (i < BLOCKS) {
          let block = block_of(i);
          let place = block.x ^ turn_of(block.y);
          for (var j = 0u; j < 4u; j++) { // unroll
            tile[block.y][j][place] = found[j];
          }
        }
      }
    }
    workgroupBarrier();
    if (step < K_TO) {
      for (var f = 0u; f < FETCHES; f++) { // unroll
        let i = f * THREADS + lid;
        if (i < BLOCKS) {
          let block = block_of(i);
          let k = step + 4u * block.y;
          if (block.x < TILE_A) {
            next[f] = block_a(a_base, m0 + 4u * block.x, k);
          } else {
            next[f] = block_b(b_base, n0 + 4u * (block.x - TILE_A), k);
          }
        }
      }
    }
    if (step > K_FROM) {
      for (var d = 0u; d < DEPTH; d++) { // unroll where WHOLE
        let at = slice * DEPTH + d;
        let my_row = row ^ turn_of(at);
        let my_column = column ^ turn_of(at);
        for (var j = 0u; j < 4u; j++) { // unroll
          for (var q = 0u; q < ROWS_A; q++) { // unroll
            a[q] = tile[at][j][q * WY + my_row];
          }
          for (var c = 0u; c < NV; c++) { // unroll
            let b = tile[at][j][TILE_A + c * WX + my_column];
            for (var q = 0u; q < ROWS_A; q++) { // unroll
              sum[4u * (q * NV + c)] += a[q].x * b;
              sum[4u * (q * NV + c) + 1u] += a[q].y * b;
              sum[4u * (q * NV + c) + 2u] += a[q].z * b;
              sum[4u * (q * NV + c) + 3u] += a[q].w * b;
            }
          }
        }
      }
      // Sums of an operand over k ride along: those of A in the first tile of columns, those of B in the first of rows.
      if (SUM_A && n0 == 0u && lid < TILE_A) {
        total_a += sum_of_step(lid);
      }
      if (SUM_B && m0 == 0u && lid < TILE_B) {
        total_b += sum_of_step(TILE_A + lid);
      }
    }
    workgroupBarrier();
  }

  if (SLICES == 1u) {
    for (var q = 0u; q < ROWS_A; q++) { // unroll
      for (var j = 0u; j < 4u; j++) { // unroll
        let m = m0 + 4u * (q * WY + row) + j;
        if (m < M) {
          for (var c = 0u; c < NV; c++) { // unroll
            store_row(c_base, m, n0 + 4u * (c * WX + column), batch, sum[4u * (q * NV + c) + j]);
          }
        }
      }
    }
  } else {
    // The upper half of the slices hands its results to the lower, until one is left; its results lie in memory, and all store them.
    for (var half = SLICES / 2u; half > 0u; half /= 2u) {
      if (slice >= half && slice < 2u * half) {
        for (var r = 0u; r < RESULTS; r++) { // unroll
          keep(r * half * SLICE + lid - half * SLICE, sum[r]);
        }
      }
      workgroupBarrier();
      if (slice < half) {
        for (var r = 0u; r < RESULTS; r++) { // unroll
          sum[r] += kept(r * half * SLICE + lid);
        }
      }
      workgroupBarrier();
    }
    if (slice == 0u) {
      for (var q = 0u; q < ROWS_A; q++) { // unroll
        for (var j = 0u; j < 4u; j++) { // unroll
          for (var c = 0u; c < NV; c++) { // unroll
            keep((4u * (q * WY + row) + j) * TILE_B + c * WX + column, sum[4u * (q * NV + c) + j]);
          }
        }
      }
    }
    workgroupBarrier();
    for (var i = lid; i < BM * TILE_B; i += THREADS) {
      let m = m0 + i / TILE_B;
      if (m < M) {
        store_row(c_base, m, n0 + 4u * (i % TILE_B), batch, kept(i));
      }
    }
    workgroupBarrier();
  }

  for (var j = 0u; j < 4u; j++) { // unroll
    if (SUM_A && n0 == 0u && lid < TILE_A && m0 + 4u * lid + j < M) {
      store_sum_a(m0 + 4u * lid + j, batch, total_a[j]);
    }
    if (SUM_B && m0 == 0u && lid < TILE_B && n0 + 4u * lid + j < N) {
      store_sum_b(n0 + 4u * lid + j, batch, total_b[j]);
    }
  }
  keep_squares(group, tiles_n * tiles_m * BATCH0 * BATCH1, lid); // where SQUARES
}
