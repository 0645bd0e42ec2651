// rows without a reduction along them: a workgroup takes one run of rows, and each thread goes down columns of its own.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let strip = group_id(wid);
  if (strip < STRIPS) {
    rows(strip, lid);
  }
}
