/** Event streams (HTML standard, section 9.2), read by fetch: EventSource cannot say who it is in a header. */

export interface StreamEvent {
    id: string;
    data: string;
}

/** The events of a stream; comments and events without data are left out. */
export async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent> {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    let text = "", id = "", data: string[] = [];
    try {
        for (;;) {
            const { value, done } = await reader.read();
            if (done) return;
            text += decoder.decode(value, { stream: true });
            const lines = text.split("\n");
            text = lines.pop()!;
            for (const line of lines.map((each) => each.replace(/\r$/, ""))) {
                const colon = line.indexOf(":");
                const field = colon < 0 ? line : line.slice(0, colon);
                const content = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
                if (line === "") {
                    if (data.length) yield { id, data: data.join("\n") };
                    [id, data] = ["", []];
                } else if (field === "data") data.push(content);
                else if (field === "id") id = content;
            }
        }
    } finally {
        await reader.cancel().catch(() => {});
    }
}
