/** setTimeout on a clock that stands still until it is moved. */

export class ManualTimers {
    #now = 0;
    #due = new Map();
    #originals = { setTimeout, clearTimeout };

    constructor() {
        let last = 0;
        globalThis.setTimeout = (callback, delay = 0) => {
            this.#due.set(last += 1, { at: this.#now + delay, callback });
            return last;
        };
        globalThis.clearTimeout = (timer) => { this.#due.delete(timer); };
    }

    /** Moves the clock and runs what became due, in its order. */
    tick(ms) {
        const until = this.#now + ms;
        for (;;) {
            const next = [...this.#due].filter(([, { at }]) => at <= until).sort(([, a], [, b]) => a.at - b.at)[0];
            if (!next) break;
            const [timer, { at, callback }] = next;
            this.#due.delete(timer);
            this.#now = at;
            callback();
        }
        this.#now = until;
    }

    restore() {
        Object.assign(globalThis, this.#originals);
    }
}
