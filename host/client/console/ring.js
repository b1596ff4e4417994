// A contact that is offered cannot be missed: the title, the icon and a tone call for the agent wherever he looks.

const TITLE = document.title;
const TONE = { every: 2_000, length: 0.35, frequencies: [660, 880] };

let sound = null;
let ringing = null;
let isSilent = localStorage.getItem("jackfield-silent") === "yes";

/** To be called when the user has pressed something: before that a browser lets no page make a sound. */
export function prepareSound() {
  sound ??= globalThis.AudioContext ? new AudioContext() : null;
}

export const silent = () => isSilent;

export function toggleSound() {
  isSilent = !isSilent;
  localStorage.setItem("jackfield-silent", isSilent ? "yes" : "no");
}

function tone() {
  if (isSilent || !sound || sound.state !== "running") return;
  TONE.frequencies.forEach((frequency, place) => {
    const [start, volume, oscillator] = [sound.currentTime + place * TONE.length, sound.createGain(), sound.createOscillator()];
    oscillator.frequency.value = frequency;
    volume.gain.setValueAtTime(0, start);
    volume.gain.linearRampToValueAtTime(0.12, start + 0.03);
    volume.gain.linearRampToValueAtTime(0, start + TONE.length);
    oscillator.connect(volume).connect(sound.destination);
    oscillator.start(start);
    oscillator.stop(start + TONE.length);
  });
}

/** Rings for as long as there is something offered; `null`: nothing is. */
export function ring(text) {
  const icon = document.getElementById("icon");
  if (text === null) {
    if (!ringing) return;
    clearInterval(ringing.timer);
    ringing = null;
    document.title = TITLE;
    icon.href = "icon.svg";
    return;
  }
  if (ringing) {
    ringing.text = text;
    return;
  }
  let isOn = false;
  const blink = () => {
    isOn = !isOn;
    document.title = isOn ? `● ${ringing.text}` : ringing.text;
    icon.href = isOn ? "icon-ringing.svg" : "icon.svg";
    if (isOn) tone();
  };
  ringing = { text, timer: setInterval(blink, TONE.every / 2) };
  blink();
}
