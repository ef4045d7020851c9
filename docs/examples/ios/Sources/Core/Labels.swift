import Foundation

/// The level of an outline: more is an object.
let outlineLevel: Float = 128

private let levelsPerUnit: Float = 16
private let leastProbability: Float = 1e-3

/// Label every pixel of the letterbox's frame with its likeliest object, as runtime/labels.py.
///
/// - Parameters:
///   - background: the content's cells of channel 0.
///   - objects: those of each object, with its id, ascending.
///   - image: (3, H, W) in [0, 255], the network's image.
/// - Returns: object ids of that frame's size, 0 for the background.
func label(
    background: Plane, objects: [(id: Int, cells: Plane)], letterbox: Letterbox, image: [Float]
) -> [UInt8] {
    let (height, width) = (letterbox.frame.height, letterbox.frame.width)
    var found = [UInt8](repeating: 0, count: height * width)
    var best = [Float](repeating: 0, count: height * width)
    let all = [background] + objects.map { $0.cells }
    for (id, cells) in objects {
        let likeliest = around(cells) { i in all.allSatisfy { cells.data[i] >= $0.data[i] } }
        guard let window = likeliest.map(letterbox.window) else { continue }
        let enlarged = cells.linear(height, width, part: window)
        for y in 0..<enlarged.height {
            for x in 0..<enlarged.width {
                let value = enlarged.data[y * enlarged.width + x]
                let i = (window.top + y) * width + window.left + x
                if value > best[i] {
                    best[i] = value
                    found[i] = UInt8(id)
                }
            }
        }
    }
    if found.contains(where: { $0 != 0 }) {
        let levels = outlineLevels(background, objects.map { $0.cells }, letterbox, image).data
        for i in found.indices where levels[i] <= outlineLevel { found[i] = 0 }
    }
    return found
}

/// Tell how surely each pixel of the letterbox's frame is any object, with outlines that follow the
/// picture.
///
/// - Parameters:
///   - background: the content's cells, as each of `objects`.
///   - image: (3, H, W) in [0, 255], the network's image.
/// - Returns: whole numbers in [0, 255], of that frame's size: `outlineLevel` and 16 times the
///   logarithm of the odds.
func outlineLevels(
    _ background: Plane, _ objects: [Plane], _ letterbox: Letterbox, _ image: [Float]
) -> Plane {
    let margin = background.map { i in
        let most = objects.reduce(leastProbability) { max($0, $1.data[i]) }
        return log(most / max(background.data[i], leastProbability))
    }
    var levels = Plane(height: letterbox.content.height, width: letterbox.content.width)
    guard let window = around(margin, { margin.data[$0] >= 0 }) else { return letterbox.enlarge(levels) }
    let pixels = Window(
        top: window.top * maskStride, bottom: window.bottom * maskStride,
        left: window.left * maskStride, right: window.right * maskStride
    )
    let outline = guidedFilter(margin.cut(window), letterbox.pixels(image).map { $0.cut(pixels) })
    for y in 0..<outline.height {
        for x in 0..<outline.width {
            let odds = max(outline.data[y * outline.width + x], -outlineLevel / levelsPerUnit)
            let level = (odds * levelsPerUnit + outlineLevel).rounded(.toNearestOrEven)
            levels.data[(pixels.top + y) * levels.width + pixels.left + x] = min(level, 255)
        }
    }
    return letterbox.enlarge(levels)
}

/// - Returns: the cells around the chosen ones, as far as an outline may reach; nil for none.
private func around(_ cells: Plane, _ isChosen: (Int) -> Bool) -> Window? {
    let size = Size(height: cells.height, width: cells.width)
    guard let box = bounds(size, isChosen) else { return nil }
    return Window(
        top: max(box.top - radius, 0),
        bottom: min(box.top + box.height + radius, cells.height),
        left: max(box.left - radius, 0),
        right: min(box.left + box.width + radius, cells.width)
    )
}
