// The views that the page chooses for the steps that come in.
//
//   node views.mjs < steps.json
import { readFileSync } from "node:fs";
import { Zoom } from "../../../runtime/web/page/zoom.js";

const { image, steps } = JSON.parse(readFileSync(0, "utf8"));
const zoom = new Zoom(image);
const views = steps.map(({ frame, shown, isAnew, objects }) => {
  const view = zoom.view(frame, shown, isAnew);
  zoom.update(view, objects, frame, shown !== null);
  return view;
});
process.stdout.write(JSON.stringify(views));
