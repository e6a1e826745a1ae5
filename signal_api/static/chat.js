// The panel beside the call: what was written, what happened, and how much of it was not seen yet.

const $ = (id) => document.getElementById(id);

export class Chat {
  #unread = 0;

  // `send` takes a text and says how many it went to.
  constructor(send) {
    $("say").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = $("text").value.trim();
      if (text && send(text)) $("text").value = "";
    });
  }

  // What somebody wrote, or without `who` what happened.
  line(text, who = null) {
    const item = document.createElement("li");
    if (who === null) item.className = "event";
    else item.append(Object.assign(document.createElement("b"), { textContent: who }), " ");
    item.append(text);
    $("lines").append(item);
    item.scrollIntoView({ block: "nearest" });
    if (who !== null && $("chat").hidden) this.#count(this.#unread + 1);
  }

  // Whether there is anybody to write to.
  allow(isOpen) {
    $("text").placeholder = isOpen ? "Write to the others" : "Nobody to write to";
    $("say").lastElementChild.disabled = !isOpen;
  }

  toggle(open = $("chat").hidden) {
    $("chat").hidden = !open;
    document.body.dataset.chat = open;
    document.querySelector(".dock [data-act=chat]").setAttribute("aria-expanded", open);
    if (open) this.#count(0);
  }

  #count(number) {
    this.#unread = number;
    $("unread").hidden = !number;
    $("unread").textContent = number;
  }
}
