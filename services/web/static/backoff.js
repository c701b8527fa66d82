// How long to wait before what failed is tried again: longer each time.

const WAITS_MS = [1000, 2000, 5000, 10_000, 30_000];

/** Milliseconds to wait after so many failures in a row, from one on. */
export const waitAfter = (failures) => WAITS_MS[Math.min(failures, WAITS_MS.length) - 1];
