// A workgroup has OWNERS rows of its own (queries, or keys) with LANES threads each: a thread holds every LANES-th vector of its row, so that
// neighbours read neighbouring vectors and what a row needs fits in registers. The rows they go along come ROWS at a time through workgroup
// memory, A vectors of one operand and B of the other; what a thread finds of a score goes to the other threads of its row by `parts`.
var<workgroup> tile_a: array<vec4f, ROWS * A>;
var<workgroup> tile_b: array<vec4f, ROWS * B>;
var<workgroup> own: array<vec4f, OWNERS * OWN_VECTORS>;
