// What the rows of a run have one value each of, kept in workgroup memory for the columns; a row's first thread puts it there.
var<workgroup> kept_values: array<f32, KEPT>;

fn keep(k: u32, r: u32, value: f32, lid: u32) {
  if (lane_of(lid) == 0u) {
    kept_values[k * RUN + r] = value;
  }
}

fn kept(k: u32, r: u32) -> f32 {
  return kept_values[k * RUN + r];
}

fn sync() {
  workgroupBarrier();
}
