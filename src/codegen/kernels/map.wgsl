// map: one thread per element of the result. `body(i)` is written by the compiler from the fused region: it takes i apart into
// coordinates, loads the operands there, computes, and stores every result at i.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = group_id(wid) * WORKGROUP + lid;
  if (i < ELEMENTS) {
    body(i);
  }
}
