/** Listeners by the name of an event. */

export class Emitter<Events extends Record<string, unknown[]>> {
    #listeners = new Map<keyof Events, Set<(...details: any[]) => void>>();

    /** Calls `listener` at every such event, until the function that is returned is called. */
    on<Name extends keyof Events>(name: Name, listener: (...details: Events[Name]) => void): () => void {
        const listeners = this.#listeners.get(name) ?? new Set();
        this.#listeners.set(name, listeners.add(listener));
        return () => { listeners.delete(listener); };
    }

    protected emit<Name extends keyof Events>(name: Name, ...details: Events[Name]): void {
        for (const listener of [...this.#listeners.get(name) ?? []]) {
            try {
                listener(...details);
            } catch (error) {
                // A listener that fails must not take the session with it.
                queueMicrotask(() => { throw error; });
            }
        }
    }
}
