// Shows what /api/last says, twice a second, and the live picture. It asks nobody but its server.
"use strict";

const EVERY_MS = 500;
const SLOW_MS = 4000; // without an answer for so long, what is shown is no longer the present
const ANSWER_MS = 5000; // a capture follows within some frames, or not at all
const SILENCE = "Asked; there is no answer yet.";
const BLIND_MS = 5000; // a picture that was refused is asked for again after so long

const part = (id) => document.getElementById(id);
const view = part("view");
const live = part("live");
let timer = 0;
let wasHere = false;
let awaited = false; // a capture was asked for
let blindUntil = 0;

function show(id, text) {
  const element = part(id);
  if (element.textContent !== text) element.textContent = text; // else aria-live says it again
}

const isSilent = (error) => error instanceof TypeError || error.name === "TimeoutError";

async function ask(path, options) {
  const given = { cache: "no-store", signal: AbortSignal.timeout(SLOW_MS), ...options };
  return fetch(path, given);
}

// The picture

function look() {
  if (Date.now() < blindUntil) return gone("NO PICTURE", "it is shown in too many windows already");
  const wanted = `/api/stream${part("heat").checked ? "?heat=true" : ""}`;
  // A connection that is cut ends the picture without an event: the element is empty then.
  const cut = live.complete && !live.naturalWidth;
  if (cut || live.getAttribute("src") !== wanted) live.src = wanted;
}

function lookAway() {
  if (live.hasAttribute("src")) live.removeAttribute("src"); // ends the stream
}

function gone(title, reason) {
  part("picture").dataset.state = "gone";
  show("away-title", title);
  show("away-reason", reason);
  part("verdict").dataset.verdict = "none";
  show("decision", "no judgement");
  show("probability", "–");
  show("agreement", "");
  show("quality", "");
  for (const id of ["rate", "latency", "temperature", "power"]) show(id, "–");
  part("power").dataset.fault = "false";
  pressable(false);
}

function pressable(here) {
  for (const id of ["capture", "focus"]) part(id).disabled = !here;
}

// What the server says

function number(value, digits) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

function judged(now) {
  part("picture").dataset.state = "here";
  part("verdict").dataset.verdict = now.verdict;
  show("decision", now.decision);
  show("probability", number(now.probability, 2));
  show("agreement", now.agreement && `· ${now.agreement}`);
  show("heat-of", now.heat_map_of);
  show("quality", now.quality === "ok" ? "picture: ok" : `picture: ${now.quality}`);
  show("remark", now.remark);
  part("remark").hidden = !now.remark;
  show("latency", `${now.latency_ms.toFixed(0)} ms`);
  pressable(true);
  const heat = part("heat");
  heat.disabled = !now.heat_map;
  heat.parentElement.title = now.heat_map ? "" : "this model gives no heat map";
  part("legend").hidden = !(heat.checked && now.heat_map);
}

function remarks(line) {
  const held = {
    [line.capture]: line.capture,
    "threshold set by the user": line.threshold_by_user,
    "failed its gate": line.failed_gate,
    "unsigned model": line.signature === "unsigned",
    [line.quality]: line.quality !== "ok",
  };
  return Object.keys(held).filter((text) => held[text]).join("; ");
}

function result(line) {
  const time = new Date(line.time);
  const item = make("li");
  const said = make("div", make("b", String(line.smoothed_decision ?? line.decision ?? "")), " ");
  said.append(make("small", remarks(line)));
  const when = Number.isNaN(time.getTime()) ? "" : time.toLocaleTimeString([], { hourCycle: "h23" });
  item.append(make("time", when), said);
  // Of frames that are not assessable there is no smoothed one, and the frame's own says nothing.
  const smoothed = "smoothed_probability" in line;
  item.append(make("span", number(smoothed ? line.smoothed_probability : line.probability, 2)));
  return item;
}

function make(tag, ...content) {
  const element = document.createElement(tag);
  element.append(...content); // strings become text, never markup
  return element;
}

function listed(lines) {
  const newest = lines.length ? `${lines[0].time} ${lines[0].frame}` : "";
  const list = part("results");
  if (list.dataset.newest === newest) return;
  list.dataset.newest = newest;
  list.replaceChildren(...lines.map(result));
  part("no-results").hidden = lines.length > 0;
  if (awaited) show("said", "Captured.");
  awaited = false;
}

function fitted(device) {
  show("rate", `${device.rate_fps.toFixed(1)} / s`);
  const warm = device.temperature_c;
  show("temperature", warm === null ? "not known" : `${warm.toFixed(0)} °C`);
  show("power", device.power);
  part("power").dataset.fault = String(device.throttled === true);
}

function tell(last) {
  const here = last.judgement !== null;
  if (here) judged(last.judgement);
  else gone("NO CAMERA", last.reason);
  wasHere = here;
  if (document.hidden) lookAway();
  else look();
  listed(last.results);
  fitted(last.device);
  show("notice", last.notice);
}

async function refresh() {
  clearTimeout(timer);
  try {
    const answer = await ask("/api/last");
    if (answer.status === 401) return enter("");
    if (answer.status === 429) throw new Error("too many requests; waiting");
    if (!answer.ok) throw new Error((await answer.json()).detail);
    tell(await answer.json());
    open();
  } catch (error) {
    lookAway();
    gone("NO CONNECTION", isSilent(error) ? "the camera's server doesn't answer" : error.message);
    open();
  }
  clearTimeout(timer); // another round may have begun meanwhile
  timer = setTimeout(refresh, document.hidden ? 10 * EVERY_MS : EVERY_MS);
}

// The door

function open() {
  view.hidden = false;
  part("entry").hidden = true;
}

function enter(error) {
  lookAway();
  view.hidden = true;
  part("entry").hidden = false;
  show("entry-error", error);
  part("token").focus();
}

async function begin(token) {
  const body = JSON.stringify({ token });
  const headers = { "Content-Type": "application/json" };
  try {
    const answer = await ask("/api/session", { method: "POST", headers, body });
    if (answer.ok) return refresh();
    enter((await answer.json()).detail);
  } catch {
    enter("the camera's server doesn't answer");
  }
}

part("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = part("token").value.trim();
  part("token").value = "";
  begin(given);
});

let patience = 0;

// What came of it: "passed on", "refused", or "silence", in which it may have been passed on too.
async function press(path) {
  show("said", "Asked…");
  try {
    const answer = await ask(path, { method: "POST" });
    if (answer.ok) return "passed on";
    show("said", (await answer.json()).detail);
  } catch (error) {
    if (isSilent(error)) return "silence";
    show("said", error.message);
  }
  return "refused";
}

part("capture").addEventListener("click", async () => {
  awaited = true;
  clearTimeout(patience);
  const came = await press("/api/capture");
  if (came === "refused") awaited = false;
  if (came === "silence" && awaited) show("said", SILENCE); // else it was captured meanwhile
  if (came === "passed on") patience = setTimeout(unanswered, ANSWER_MS);
});

part("focus").addEventListener("click", async () => {
  const came = await press("/api/focus");
  if (came === "silence") show("said", SILENCE);
  if (came === "passed on") show("said", "Asked to focus; a lens that can't stays as it is.");
});

function unanswered() {
  if (awaited) show("said", "Nothing was captured.");
  awaited = false;
}

part("heat").addEventListener("change", () => {
  part("legend").hidden = !part("heat").checked;
  if (wasHere) look();
});

live.addEventListener("error", () => {
  if (!live.hasAttribute("src")) return;
  blindUntil = Date.now() + BLIND_MS;
  lookAway();
});

document.addEventListener("visibilitychange", refresh);

// The token leaves the address at once, so that neither the history nor a photograph of the screen
// holds it.
function arrive() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (location.hash) history.replaceState(null, "", location.pathname);
  if (token) begin(token);
  else refresh();
}

window.addEventListener("hashchange", arrive); // the address entered where the page is open already
arrive();
