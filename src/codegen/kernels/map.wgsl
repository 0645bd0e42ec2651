// map: one thread for EACH elements of the result, one or four. `body` is written by the compiler from the fused region: it finds the coordinates of
// element i (the first of four), loads the operands there, computes, and stores every result at i. Where rows are whole workgroups, the coordinates follow
// from the workgroup's number, which all its threads share, and no thread divides.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let group = group_id(wid);
  let i = (group * WORKGROUP + lid) * EACH;
  if (i < ELEMENTS) {
    body(i, group, lid);
  }
}
