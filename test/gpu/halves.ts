/**
 * Whether the adapter of these tests has no f16: SwiftShader, and a GPU for whose driver Dawn leaves it out. lavapipe has it
 * (test/driver/half.test.ts).
 */
export const lacksHalves = process.env.DIT_TEST_HALVES === "0";
