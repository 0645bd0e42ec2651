// matmul-panel: C[m,n] = Σk A[m,k] · B[k,n] where K is short: a patch embedding, the gradient of a final layer's input. One subgroup of S lanes
// makes TM rows of TN columns. What B has for these columns, the panel, is loaded once; then a turn makes a row, from the first k to the
// last, so that its sums are never in memory. Each lane owns four columns side by side (a vec4) in each of NV blocks; the lanes load the row
// of A between them, four k each, and pass it round by subgroupBroadcast.
//   B_K_BY_K: B lies k by k (weights stored [out, in]), four columns are turned in registers      B_N_BY_N: n by n
// Written for one width S, one subgroup a workgroup, like matmul-subgroup.wgsl, which says what counts on a CPU. Most of so short a product is
// what comes once a result or once a tile: its sum is found by an index, lane by lane, it is stored, and tiles start. Here no sum is found so,
// tiles are fewer, and B is loaded less often.
// KC is K, known to the text; where a loop is to stay a loop its bound is K, a word of the uniform.
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
  let n0 = place.y * TN + 4u * lane;
  let a_base = A_OFFSET + (batch / BATCH1) * A_BATCH0 + (batch % BATCH1) * A_BATCH1;
  let b_base = B_OFFSET + (batch / BATCH1) * B_BATCH0 + (batch % BATCH1) * B_BATCH1;
  let c_base = C_OFFSET + (batch / BATCH1) * C_BATCH0 + (batch % BATCH1) * C_BATCH1;

  // Columns past the edge are read again from the last and not stored; N is a multiple of 4.
  var b: array<vec4f, NV * KC>;
  var at = 0u;
  loop {
    let n = min(n0 + BLOCK * (at / KC), N - 4u);
    let k = at % KC;
    let t0 = load_b(b_base + n * B_N + k); // where B_K_BY_K
    let t1 = load_b(b_base + (n + 1u) * B_N + k); // where B_K_BY_K
    let t2 = load_b(b_base + (n + 2u) * B_N + k); // where B_K_BY_K
    let t3 = load_b(b_base + (n + 3u) * B_N + k); // where B_K_BY_K
    for (var j = 0u; j < 4u; j++) { // unroll // where B_K_BY_K
      b[at + j] = vec4f(t0[j], t1[j], t2[j], t3[j]); // where B_K_BY_K
    } // where B_K_BY_K
    b[at] = load_b(b_base + n + k * B_K); // where B_N_BY_N
    continuing {
      at += 4u; // where B_K_BY_K
      at++; // where B_N_BY_N
      break if at >= NV * K;
    }
  }
  var share: array<RowsShare, NV>;
  for (var v = 0u; v < NV; v++) { // unroll
    share[v] = rows_share(m0, n0 + BLOCK * v, batch);
  }

  var m = m0;
  loop {
    // A lane without a part of the row loads nothing: a load is work for each lane that does.
    var a: array<vec4f, A_LOADS>;
    for (var q = 0u; q < A_LOADS; q++) { // unroll
      if (KC % (4u * S) == 0u || 4u * (lane + S * q) < KC) {
        a[q] = load_a(a_base + m * A_M + 4u * (lane + S * q));
      }
    }
    // Zeros are said: Dawn leaves a variable of a loop that has no value given as the turn before left it.
    var sum = array<vec4f, NV>();
    for (var k = 0u; k < KC; k += 4u) { // unroll
      let x = subgroupBroadcast(a[k / (4u * S)], k / 4u % S);
      for (var v = 0u; v < NV; v++) { // unroll
        sum[v] += x.x * b[KC * v + k] + x.y * b[KC * v + k + 1u] + x.z * b[KC * v + k + 2u] + x.w * b[KC * v + k + 3u];
      }
    }
    for (var v = 0u; v < NV; v++) { // unroll
      let n = n0 + BLOCK * v;
      if (n < N) {
        store_sharing(c_base + m * C_M + n, m, n, batch, share[v], sum[v]);
      }
    }
    continuing {
      m++;
      break if m >= min(m0 + TM, M);
    }
  }
}
