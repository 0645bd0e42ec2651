// matmul-subgroup: C[m,n] = Σk A[m,k] · B[k,n] without workgroup memory or barriers. One subgroup of S lanes makes TM rows of 4·S
// columns: each lane owns four columns (a vec4 a row, in registers). A step takes KU values of k: the lanes load the TM rows of A between
// them, four numbers a load, and pass them round by subgroupBroadcast, so that no row is loaded twice; each lane loads its own columns of B.
//   A_ALONG_K: A lies k by k (x · W forms), lane i holds row i, i + S, …      else m by m (gradients of weights), lane i holds four rows of
//   A_STEPS k: two where K is even, so that a row of results comes from memory and goes back half as often
//   B_ALONG_K: B lies k by k (weights stored [out, in]), four columns are turned in registers      else n by n
//   PARTS: 1; or, where A lies m by m and columns are few, as many as the subgroup has quads: each quad has all 16 columns of the tile and every
//   PARTS-th block of k, so that no lane is idle; rows are passed round the quad, and at the end the quads' sums are added
// Written for one width S, one subgroup a workgroup; the variant is taken only where the adapter has no other width.
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
  let column = lane % (TN / 4u);
  let part = lane / (TN / 4u);
  let n0 = place.y * TN + 4u * column;
  let a_base = A_OFFSET + (batch / BATCH1) * A_BATCH0 + (batch % BATCH1) * A_BATCH1;
  let b_base = B_OFFSET + (batch / BATCH1) * B_BATCH0 + (batch % BATCH1) * B_BATCH1;
  let c_base = C_OFFSET + (batch / BATCH1) * C_BATCH0 + (batch % BATCH1) * C_BATCH1;

  // Rows and columns past the edge are read again from the last and not stored; M and N are multiples of 4 where they are read or written by fours.
  var a_at: array<u32, A_LOADS>;
  for (var q = 0u; q < A_LOADS; q++) { // unroll
    if (A_ALONG_K) {
      a_at[q] = a_base + min(m0 + lane + S * q, M - 1u) * A_M;
    } else {
      a_at[q] = a_base + min(m0 + 4u * column + TN * q, M - 4u) + part * A_STEPS * A_K;
    }
  }
  var b_at: array<u32, 4>;
  for (var j = 0u; j < 4u; j++) { // unroll
    if (B_ALONG_K) {
      b_at[j] = b_base + min(n0 + j, N - 1u) * B_N;
    } else {
      b_at[j] = b_base + min(n0, N - 4u) + part * K_EACH * B_K;
    }
  }

  var sum: array<vec4f, TM>;
  var own: array<vec4f, A_LOADS>; // where SUMS
  var k = 0u;
  loop {
    var a: array<vec4f, A_LOADS * A_STEPS>;
    if (A_ALONG_K) {
      for (var q = 0u; q < A_LOADS; q++) { // unroll
        a[q] = load_a(a_at[q] + k);
      }
    } else {
      for (var j = 0u; j < A_STEPS; j++) { // unroll
        for (var q = 0u; q < A_LOADS; q++) { // unroll
          a[A_LOADS * j + q] = load_a(a_at[q] + (k + j) * A_K);
          own[q] += a[A_LOADS * j + q]; // where SUMS
        }
      }
    }
    var b: array<vec4f, 4>;
    if (B_ALONG_K) {
      let t0 = load_b(b_at[0] + k);
      let t1 = load_b(b_at[1] + k);
      let t2 = load_b(b_at[2] + k);
      let t3 = load_b(b_at[3] + k);
      b[0] = vec4f(t0.x, t1.x, t2.x, t3.x);
      b[1] = vec4f(t0.y, t1.y, t2.y, t3.y);
      b[2] = vec4f(t0.z, t1.z, t2.z, t3.z);
      b[3] = vec4f(t0.w, t1.w, t2.w, t3.w);
    } else {
      for (var j = 0u; j < K_EACH; j++) { // unroll
        b[j] = load_b(b_at[0] + (k + j) * B_K);
      }
    }
    if (A_ALONG_K) {
      for (var r = 0u; r < TM; r++) { // unroll
        let x = subgroupBroadcast(a[min(r / S, A_LOADS - 1u)], r % S);
        sum[r] += x.x * b[0] + x.y * b[1] + x.z * b[2] + x.w * b[3];
      }
    } else {
      for (var r = 0u; r < TM; r += 4u) { // unroll
        let x = subgroupBroadcast(a[min(r / (4u * S), A_LOADS - 1u)], (r / 4u) % S); // where ONE_PART
        let x = quadBroadcast(a[min(r / 16u, A_LOADS - 1u)], (r / 4u) % 4u); // where QUADS
        if (A_STEPS == 2u) {
          let y = subgroupBroadcast(a[A_LOADS * (A_STEPS - 1u) + min(r / (4u * S), A_LOADS - 1u)], (r / 4u) % S); // where ONE_PART
          let y = quadBroadcast(a[A_LOADS * (A_STEPS - 1u) + min(r / 16u, A_LOADS - 1u)], (r / 4u) % 4u); // where QUADS
          sum[r] += x.x * b[0] + y.x * b[1];
          sum[r + 1u] += x.y * b[0] + y.y * b[1];
          sum[r + 2u] += x.z * b[0] + y.z * b[1];
          sum[r + 3u] += x.w * b[0] + y.w * b[1];
        } else {
          sum[r] += x.x * b[0];
          sum[r + 1u] += x.y * b[0];
          sum[r + 2u] += x.z * b[0];
          sum[r + 3u] += x.w * b[0];
        }
      }
    }
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
    if (n0 < N) { // where QUADS
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
      var m = m0;
      loop {
        store(c_base + m * C_M + n0, m, n0, batch, sum[m - m0]);
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
      let row = 4u * column + TN * q; // where SUMS
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
