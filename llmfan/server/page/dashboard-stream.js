// The stream of documents. EventSource tries again by itself after a break, but not after an answer that is no stream,
// and it does not notice a server that has stopped saying anything.

const AGAIN_MS = 3000;
const SILENT_MS = 15000;
const LOST = "Connection lost, trying again.";

export class Stream {
  /** `end`: the server has said that nothing follows. It is asked again all the same: another may come in its place. */
  constructor(address, { receive, lose, end }) {
    this.address = address;
    this.receive = receive;
    this.lose = lose;
    this.end = end;
    setInterval(() => this.listen(), 1000);
  }

  open() {
    this.heard = performance.now();
    this.source = new EventSource(this.address);
    this.source.addEventListener("message", (event) => this.take(event));
    this.source.addEventListener("end", () => this.end());
    this.source.addEventListener("error", () => this.broken());
  }

  take(event) {
    this.heard = performance.now();
    this.receive(JSON.parse(event.data));
  }

  broken() {
    this.lose(LOST);
    if (this.source.readyState === EventSource.CLOSED) this.again();
  }

  again() {
    this.source.close();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), AGAIN_MS);
  }

  /** A page in the background is throttled: silence counts only while somebody can see it. */
  listen() {
    if (document.hidden) {
      this.heard = performance.now();
    } else if (this.source.readyState === EventSource.OPEN && performance.now() - this.heard > SILENT_MS) {
      this.lose("No news for 15 seconds, connecting again.");
      this.again();
    }
  }
}
