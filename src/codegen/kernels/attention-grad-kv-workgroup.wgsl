// attention_grad_kv: keys go along the queries, by blocks (attention-products.wgsl). w = exp(score − lse), dv = Σ w · do,
// ds = w (do · v − delta), dk = Σ ds · q.
fn start_own(second: bool, batch: u32, row: u32) -> u32 {
  if (second) {
    return start_v(batch, min(row, KEYS - 1u));
  }
  return start_k(batch, min(row, KEYS - 1u));
}

fn vector_own(second: bool, start: u32, c: u32) -> vec4f {
  if (second) {
    return vector_v(start, c);
  }
  return vector_k(start, c) * SCALE;
}

fn start_other(second: bool, batch: u32, row: u32) -> u32 {
  if (second) {
    return start_do(batch, min(row, QUERIES - 1u));
  }
  return start_q(batch, min(row, QUERIES - 1u));
}

fn vector_other(second: bool, start: u32, c: u32) -> vec4f {
  if (second) {
    return vector_do(start, c);
  }
  return vector_q(start, c);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let group = group_id(wid);
  if (group >= blocks(KEYS) * BATCHES) {
    return;
  }
  let batch = group / blocks(KEYS);
  let mine = (group % blocks(KEYS)) * OWNERS;
  let column = lid % WX;
  let row = lid / WX;
  var sum_k = array<vec4f, SUMS>();
  var sum_v = array<vec4f, SUMS>();
  var w = array<vec4f, RESULTS>();
  var d = array<vec4f, RESULTS>();
  for (var first = 0u; first < QUERIES; first += BLOCK) {
    let queries = within(first, column, QUERIES);
    var lse = vec4f();
    var delta = vec4f();
    for (var j = 0u; j < 4u; j++) { // unroll
      let query = min(first + column + WX * j, QUERIES - 1u);
      lse[j] = load_lse(batch, query);
      delta[j] = load_delta(batch, query);
    }
    products(&w, false, A, batch, mine, first, lid);
    let fetched_do = fetched_rows(true, batch, first, lid);
    for (var r = 0u; r < RESULTS; r++) { // unroll
      w[r] = select(vec4f(), exp(w[r] - lse), queries);
    }
    weighted(&sum_v, w, fetched_do, true, batch, first, QUERIES, lid);
    products(&d, true, B, batch, mine, first, lid);
    let fetched_q = fetched_rows(false, batch, first, lid);
    for (var r = 0u; r < RESULTS; r++) { // unroll
      w[r] *= d[r] - delta;
    }
    weighted(&sum_k, w, fetched_q, false, batch, first, QUERIES, lid);
  }
  for (var q = 0u; q < ROWS_A; q++) { // unroll
    for (var j = 0u; j < 4u; j++) { // unroll
      let key = mine + 4u * (row * ROWS_A + q) + j;
      if (key < KEYS) {
        let start_of_dk = start_dk(batch, key);
        let start_of_dv = start_dv(batch, key);
        for (var c = 0u; c < PART; c++) { // unroll
          put_dk(start_of_dk, c * WX + column, sum_k[4u * (q * PART + c) + j] * SCALE);
          put_dv(start_of_dv, c * WX + column, sum_v[4u * (q * PART + c) + j]);
        }
      }
    }
  }
}
