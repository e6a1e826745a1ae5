/** Where a session may be had: where it began, and where servers that drain point to. */

const originOf = (address: unknown): string => {
    try {
        return new URL(String(address)).origin;
    } catch {
        return "";
    }
};

export class Entrances {
    #home: string;
    /** The first is the one to go by. */
    #all: string[];

    constructor(home: string) {
        this.#home = home;
        this.#all = [home];
    }

    get current(): string { return this.#all[0]!; }

    /** The one that is current is about to close, and names others: in any order they come before it. */
    leave(alternatives: unknown, random: () => number): void {
        const here = this.current;
        // A token that went by https goes by nothing less.
        const schemes = here.startsWith("https:") ? ["https:"] : ["https:", "http:"];
        const others = (Array.isArray(alternatives) ? alternatives : []).map(originOf)
            .filter((origin) => schemes.includes(origin.replace(/\/\/.*/, "")) && origin !== originOf(here))
            .map((origin) => ({ origin, dice: random() })).sort((one, other) => one.dice - other.dice);
        this.#all = [...new Set([...others.map(({ origin }) => origin), here, this.#home])];
    }

    /** Nobody was met by the current one. */
    next(): void {
        this.#all.push(this.#all.shift()!);
    }
}
