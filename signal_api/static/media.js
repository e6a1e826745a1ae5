// Camera and microphone where the browser gives them, a drawing and silence where it does not.

// {stream, drawn: why the picture is a drawing, or null}
export async function openMedia(wantDrawing, label) {
  if (wantDrawing) return { stream: drawing(label), drawn: "asked for" };
  if (!navigator.mediaDevices?.getUserMedia) return { stream: drawing(label), drawn: "insecure" };
  const wishes = [{ video: { width: { ideal: 1280 }, height: { ideal: 720 } }, audio: true }, { audio: true }];
  let problem = null;
  for (const wish of wishes) {
    try {
      const stream = await navigator.mediaDevices.getUserMedia(wish);
      if (!stream.getVideoTracks().length) {
        for (const track of drawing(label).getVideoTracks()) stream.addTrack(track);
        return { stream, drawn: "no camera" };
      }
      return { stream, drawn: null };
    } catch (error) {
      problem = error;
    }
  }
  return { stream: drawing(label), drawn: problem.name === "NotAllowedError" ? "denied" : "no camera" };
}

export const EXPLANATIONS = {
  insecure: "Browsers give the camera only to https pages and to localhost. Here a drawing and silence are sent instead; signaling, relaying and the data channel are real.",
  denied: "The camera was not allowed. A drawing is sent instead; allow it in the address bar and reload.",
  "no camera": "No camera was found. A drawing is sent instead.",
};

function drawing(label) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 400 });
  const context = canvas.getContext("2d");
  const hue = [...label()].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 190);
  const paint = () => {
    const time = performance.now() / 1000;
    context.fillStyle = `hsl(${hue} 30% 16%)`;
    context.fillRect(0, 0, 640, 400);
    for (let wave = 0; wave < 5; wave += 1) {
      context.beginPath();
      for (let x = 0; x <= 640; x += 16) {
        const y = 230 + wave * 34 + Math.sin(x / (70 + wave * 12) + time * (0.5 + wave * 0.12) + wave) * (16 - wave * 2);
        context.lineTo(x, y);
      }
      context.strokeStyle = `hsl(${hue + wave * 9} 42% ${34 + wave * 7}% / ${0.9 - wave * 0.12})`;
      context.lineWidth = 3;
      context.stroke();
    }
    context.fillStyle = "hsl(40 30% 92%)";
    context.textAlign = "center";
    context.font = "500 34px system-ui, sans-serif";
    context.fillText(label() || "a drawing", 320, 130);
    context.font = "18px ui-monospace, monospace";
    context.fillText(new Date().toLocaleTimeString(), 320, 168);
  };
  paint();
  setInterval(paint, 66); // Not requestAnimationFrame, which rests in tabs behind others.
  const stream = canvas.captureStream(15);
  stream.addTrack(silence());
  return stream;
}

function silence() {
  const context = new AudioContext();
  const source = context.createOscillator(), volume = context.createGain(), sink = context.createMediaStreamDestination();
  volume.gain.value = 0;
  source.connect(volume).connect(sink);
  source.start();
  addEventListener("pointerdown", () => context.resume(), { once: true });
  return sink.stream.getAudioTracks()[0];
}
