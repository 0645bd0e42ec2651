// rows, naive: one thread goes along a row, or down a run of rows, alone.
var<private> kept_values: array<f32, KEPT>;

fn keep(k: u32, r: u32, value: f32, lid: u32) {
  kept_values[k * RUN + r] = value;
}

fn kept(k: u32, r: u32) -> f32 {
  return kept_values[k * RUN + r];
}

fn sync() {
}

fn total(x: f32, lid: u32) -> f32 {
  return x;
}

fn largest(x: f32, lid: u32) -> f32 {
  return x;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let strip = group_id(wid) * THREADS + lid;
  if (strip < STRIPS) {
    rows(strip, 0u);
  }
}
