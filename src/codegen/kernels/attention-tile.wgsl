// A workgroup has OWNERS rows of its own (queries, or keys) with LANES threads each: a thread holds every LANES-th vector of its row, so that
// neighbours read neighbouring vectors and what a row needs fits in registers. The rows they go along come ROWS at a time through workgroup
// memory, A vectors of one operand and, from AT_B on, B of the other; those of the next tile are fetched while this one is at work. What a
// thread finds of a score is put into `parts`; each row's threads add them up between them, into `scores`, which all of them then read.
//   Before the first tile and after the last the same memory holds the rows of the workgroup's own.
var<workgroup> memory: array<vec4f, MEMORY>;
const AT_B = ROWS * A;
