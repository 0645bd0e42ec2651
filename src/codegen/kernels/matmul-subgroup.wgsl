// matmul-subgroup: C[m,n] = Σk A[m,k] · B[k,n] without workgroup memory or barriers. One subgroup of S lanes makes TM rows of TN columns:
// each lane owns four side by side (a vec4 a row) in each of NV blocks. A step takes two k (STEPS): the lanes load the TM rows of A between
// them and pass them round by subgroupBroadcast, so that no row is loaded twice; each lane loads its own columns of B.
//   A_K_BY_K: A lies k by k (x · W forms), lane i holds the k of row i, i + S, …      A_M_BY_M: m by m (gradients of weights), lane i holds four
//   rows of each k, of one where K may be odd
//   B_K_BY_K: B lies k by k (weights stored [out, in]), four columns are turned in registers      B_N_BY_N: n by n; its places are added up
//   (B_WALKS, where A lies along K) or found by k
//   PARTS: 1; or, where columns are few, as many as the subgroup has quads: each quad has all 16 columns of the tile and every PARTS-th block of
//   k, so that no lane is idle; rows are passed round the quad, and at the end the quads' sums are added
// Written for one width S, one subgroup a workgroup; the variant is taken only where the adapter has no other width.
// What a CPU's driver makes of a step has to fit in a core's 32 KB of instructions: a load is a branch for each lane and number, 1 KB for each
// vec2 and 1.8 for each vec4 that stands here, and multiply-adds of two k 50 bytes for each result. The tile is the largest that fits.
// Loops ask at their end whether to go on, for there is always something to do at first: lavapipe leaves a loop only at its end, so one that
// asks before would go through the whole text once more with no lane active.
@compute @workgroup_size(S)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let tiles_n = (N + TN - 1u) / TN;
  let tiles_m = (M + TM - 1u) / TM;
  let tile = group_id(wid);
  if (tile >= tiles_n * tiles_m * BATCH0 * BATCH1) {
    return;
  }
  let batch = tile / (tiles_n * tiles_m);
  let place = tile_place(tile % (tiles_n * tiles_m), tiles_m, tiles_n);
  let m0 = place.x * TM;
  let column = lane % (BLOCK / 4u);
  let part = lane / (BLOCK / 4u);
  let n0 = place.y * TN + 4u * column;
  let a_base = A_OFFSET + (batch / BATCH1) * A_BATCH0 + (batch % BATCH1) * A_BATCH1;
  let b_base = B_OFFSET + (batch / BATCH1) * B_BATCH0 + (batch % BATCH1) * B_BATCH1;
  let c_base = C_OFFSET + (batch / BATCH1) * C_BATCH0 + (batch % BATCH1) * C_BATCH1;

  // Rows and columns past the edge are read again from the last and not stored; M and N are multiples of 4 where they are read or written by fours.
  var a_at: array<u32, A_LOADS>;
  for (var q = 0u; q < A_LOADS; q++) { // unroll
    a_at[q] = a_base + min(m0 + lane % A_LANES + A_LANES * q, M - 1u) * A_M + part * STEPS; // where A_K_BY_K
    a_at[q] = a_base + min(m0 + 4u * column + BLOCK * q, M - 4u) + part * STEPS * A_K; // where A_M_BY_M
  }
  var b_at: array<u32, B_PLACES>;
  for (var v = 0u; v < NV; v++) { // unroll
    for (var j = 0u; j < 4u; j++) { // unroll // where B_K_BY_K
      b_at[4u * v + j] = b_base + min(n0 + BLOCK * v + j, N - 1u) * B_N + part * STEPS; // where B_K_BY_K
    } // where B_K_BY_K
    b_at[v] = b_base + min(n0 + BLOCK * v, N - 4u) + part * STEPS * B_K; // where B_N_BY_N
  }

  var sum: array<vec4f, RESULTS>;
  var own: array<vec4f, A_LOADS>; // where SUMS
  var k = 0u;
  loop {
    var a: array<AlongK, A_LOADS>; // where A_K_BY_K
    for (var q = 0u; q < A_LOADS; q++) { // unroll // where A_K_BY_K
      a[q] = load_a(a_at[q] + k); // where A_K_BY_K
    } // where A_K_BY_K
    var a: array<vec4f, A_LOADS * STEPS>; // where A_M_BY_M
    for (var j = 0u; j < STEPS; j++) { // unroll // where A_M_BY_M
      for (var q = 0u; q < A_LOADS; q++) { // unroll // where A_M_BY_M
        a[A_LOADS * j + q] = load_a(a_at[q] + (k + j) * A_K); // where A_M_BY_M
        own[q] += a[A_LOADS * j + q]; // where SUMS
      } // where A_M_BY_M
    } // where A_M_BY_M
    var b: array<vec4f, NV * STEPS>;
    for (var v = 0u; v < NV; v++) { // unroll
      let t0 = load_b(b_at[4u * v] + k); // where B_K_BY_K
      let t1 = load_b(b_at[4u * v + 1u] + k); // where B_K_BY_K
      let t2 = load_b(b_at[4u * v + 2u] + k); // where B_K_BY_K
      let t3 = load_b(b_at[4u * v + 3u] + k); // where B_K_BY_K
      for (var j = 0u; j < STEPS; j++) { // unroll // where B_K_BY_K
        b[NV * j + v] = vec4f(t0[j], t1[j], t2[j], t3[j]); // where B_K_BY_K
      } // where B_K_BY_K
      for (var j = 0u; j < STEPS; j++) { // unroll // where B_N_BY_N
        b[NV * j + v] = load_b(b_at[v] + j * B_K); // where B_WALKS
        b[NV * j + v] = load_b(b_at[v] + (k + j) * B_K); // where B_BY_ITS_K
      } // where B_N_BY_N
      b_at[v] += KU * B_K; // where B_WALKS
    }
    // All k of a step in one sum: a driver may bring a result from memory and back for each that stands alone.
    for (var r = 0u; r < TM; r++) { // unroll // where A_K_BY_K
      let x = subgroupBroadcast(a[min(r / S, A_LOADS - 1u)], r % S); // where ONE_PART_ALONG_K
      let x = quadBroadcast(a[r / 4u], r % 4u); // where QUADS_ALONG_K
      for (var v = 0u; v < NV; v++) { // unroll // where A_K_BY_K
        sum[NV * r + v] += x.x * b[v] + x.y * b[NV + v]; // where TWO_ALONG_K
        sum[NV * r + v] += x.x * b[v] + x.y * b[NV + v] + x.z * b[2u * NV + v] + x.w * b[3u * NV + v]; // where FOUR_ALONG_K
      } // where A_K_BY_K
    } // where A_K_BY_K
    for (var r = 0u; r < TM; r += 4u) { // unroll // where A_M_BY_M
      let x = subgroupBroadcast(a[min(r / (4u * S), A_LOADS - 1u)], (r / 4u) % S); // where ONE_PART_ALONG_M
      let x = quadBroadcast(a[min(r / 16u, A_LOADS - 1u)], (r / 4u) % 4u); // where QUADS_ALONG_M
      let y = subgroupBroadcast(a[A_LOADS * (STEPS - 1u) + min(r / (4u * S), A_LOADS - 1u)], (r / 4u) % S); // where ONE_PART_ALONG_M
      let y = quadBroadcast(a[A_LOADS * (STEPS - 1u) + min(r / 16u, A_LOADS - 1u)], (r / 4u) % 4u); // where QUADS_ALONG_M
      for (var v = 0u; v < NV; v++) { // unroll // where A_M_BY_M
        for (var i = 0u; i < 4u; i++) { // unroll // where A_M_BY_M
          sum[NV * (r + i) + v] += x[i] * b[v]; // where ONE_ALONG_M
          sum[NV * (r + i) + v] += x[i] * b[v] + y[i] * b[NV + v]; // where TWO_ALONG_M
        } // where A_M_BY_M
      } // where A_M_BY_M
    } // where A_M_BY_M
    continuing {
      k += KU;
      break if k >= K;
    }
  }
  // Each quad stores every PARTS-th row, whose sums it takes from the others too.
  var first = m0; // where QUADS
  loop { // where QUADS
    let m = first + part; // where QUADS
    var total = sum[m - m0]; // where QUADS
    for (var p = 0u; p < OTHERS; p++) { // unroll // where QUADS
      total += subgroupShuffleXor(sum[first - m0 + (part ^ (p + 1u))], 4u * (p + 1u)); // where QUADS
    } // where QUADS
    if (n0 < N && m < M) { // where QUADS
      store(c_base + m * C_M + n0, m, n0, batch, total); // where QUADS
    } // where QUADS
    continuing { // where QUADS
      first += PARTS; // where QUADS
      break if first >= min(m0 + TM, M); // where QUADS
    } // where QUADS
  } // where QUADS
  if (PARTS == 1u && n0 < N) {
    if (TAIL) {
      // A store is long text for a driver of CPU vectors, a branch for each lane and number: here it stands once. Counted by rows of C, not
      // from 0: a driver that sees the count unrolls the loop after all.
      var share: array<RowsShare, NV>;
      for (var v = 0u; v < NV; v++) { // unroll
        share[v] = rows_share(m0, n0 + BLOCK * v, batch);
      }
      var m = m0;
      loop {
        let row = NV * (m - m0);
        for (var v = 0u; v < NV; v++) { // unroll
          let n = n0 + BLOCK * v;
          if (n < N) {
            store_sharing(c_base + m * C_M + n, m, n, batch, share[v], sum[row + v]);
          }
        }
        continuing {
          m++;
          break if m >= min(m0 + TM, M);
        }
      }
    } else {
      for (var r = 0u; r < TM; r++) { // unroll
        if (m0 + r < M) {
          store(c_base + (m0 + r) * C_M + n0, m0 + r, n0, batch, sum[r]);
        }
      }
    }
  }
  // The sums of A over k ride along: a lane has what it loaded. The first tile of columns stores them.
  if (place.y == 0u) { // where SUMS
    for (var q = 0u; q < A_LOADS; q++) { // unroll // where SUMS
      var total = own[q]; // where SUMS
      for (var p = 0u; p < OTHERS; p++) { // unroll // where SUMS
        total += subgroupShuffleXor(own[q], 4u * (p + 1u)); // where SUMS
      } // where SUMS
      let row = 4u * column + BLOCK * q; // where SUMS
      if (part == 0u && row < TM && m0 + row < M) { // where SUMS
        store_sum_a(m0 + row, batch, total.x); // where SUMS
        store_sum_a(m0 + row + 1u, batch, total.y); // where SUMS
        store_sum_a(m0 + row + 2u, batch, total.z); // where SUMS
        store_sum_a(m0 + row + 3u, batch, total.w); // where SUMS
      } // where SUMS
    } // where SUMS
  } // where SUMS
  keep_squares(tile, tiles_n * tiles_m * BATCH0 * BATCH1, lane); // where SQUARES
}
