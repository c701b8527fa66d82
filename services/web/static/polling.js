// Work that is done again and again.

/** Do it a while from now; the next time begins so long after it has ended, so that slow answers never pile up. */
export function again(work, milliseconds) {
  setTimeout(async () => {
    try {
      await work();
    } finally {
      again(work, milliseconds);
    }
  }, milliseconds);
}
