import Foundation

/// The level of an outline: more is an object.
let outlineLevel: Float = 128

private let levelsPerUnit: Float = 16
private let leastProbability: Float = 1e-3

/// Label every pixel of the content with its likeliest object, as runtime/labels.py.
///
/// - Parameters:
///   - background: the content's cells of channel 0.
///   - objects: those of each object, with its id, ascending.
///   - image: (3, H, W) in [0, 255], the network's image.
/// - Returns: object ids of the content's size, 0 for the background.
func label(
    background: Plane, objects: [(id: Int, cells: Plane)], letterbox: Letterbox, image: [Float]
) -> [UInt8] {
    let (height, width) = (letterbox.content.height, letterbox.content.width)
    var found = [UInt8](repeating: 0, count: height * width)
    var best = [Float](repeating: 0, count: height * width)
    let all = [background] + objects.map { $0.cells }
    for (id, cells) in objects {
        let likeliest = cells.data.indices.map { i in all.allSatisfy { cells.data[i] >= $0.data[i] } }
        guard let window = around(likeliest, cells) else { continue }
        let enlarged = cells.linear(height, width).data
        for y in window.top * maskStride..<window.bottom * maskStride {
            for i in y * width + window.left * maskStride..<y * width + window.right * maskStride
            where enlarged[i] > best[i] {
                best[i] = enlarged[i]
                found[i] = UInt8(id)
            }
        }
    }
    if found.contains(where: { $0 != 0 }) {
        let levels = outlineLevels(background, objects.map { $0.cells }, letterbox, image).data
        for i in found.indices where levels[i] <= outlineLevel { found[i] = 0 }
    }
    return found
}

/// Tell how surely each pixel of the content is any object, with outlines that follow the picture.
///
/// - Parameters:
///   - background: the content's cells, as each of `objects`.
///   - image: (3, H, W) in [0, 255], the network's image.
/// - Returns: whole numbers in [0, 255], of the content's size: `outlineLevel` and 16 times the
///   logarithm of the odds.
func outlineLevels(
    _ background: Plane, _ objects: [Plane], _ letterbox: Letterbox, _ image: [Float]
) -> Plane {
    let margin = background.map { i in
        let most = objects.reduce(leastProbability) { max($0, $1.data[i]) }
        return log(most / max(background.data[i], leastProbability))
    }
    var levels = Plane(height: letterbox.content.height, width: letterbox.content.width)
    guard let window = around(margin.data.map { $0 >= 0 }, margin) else { return levels }
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
    return levels
}

/// - Returns: the cells around the chosen ones, as far as an outline may reach; nil for none.
private func around(_ chosen: [Bool], _ cells: Plane) -> Window? {
    let places = chosen.indices.filter { chosen[$0] }
    guard let first = places.first, let last = places.last else { return nil }
    let columns = places.map { $0 % cells.width }
    return Window(
        top: max(first / cells.width - radius, 0),
        bottom: min(last / cells.width + 1 + radius, cells.height),
        left: max(columns.min()! - radius, 0),
        right: min(columns.max()! + 1 + radius, cells.width)
    )
}
