// Work of which one piece is done after the other.

/** Gives what does a piece of work once the one before has ended: of two changes under way at once the older one might be
 * the last to arrive. */
export function oneByOne() {
  let last = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    last = mine.catch(() => {}); // who asked for it is told
    return mine;
  };
}
