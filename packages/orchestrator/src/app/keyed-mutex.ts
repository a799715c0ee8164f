/** One thing at a time per key, in the order asked; different keys do not wait for each other. */
export class KeyedMutex<Key> {
  readonly #tails = new Map<Key, Promise<void>>();

  async run<Value>(key: Key, task: () => Promise<Value>): Promise<Value> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const result = before.then(task);
    // The next in line waits for this one's end, whether it went well or not.
    const tail = result.then(
      () => undefined,
      () => undefined,
    );
    this.#tails.set(key, tail);
    try {
      return await result;
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }

  isBusy(key: Key): boolean {
    return this.#tails.has(key);
  }
}
