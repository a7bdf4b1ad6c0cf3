//! Archives made from images of open ones.

#![allow(clippy::needless_pass_by_value)] // what wasm-bindgen gives is owned

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use js_sys::{Array, Object, Reflect, Uint8Array};
use longshore_archive::{
    Archive as Core, Code, Error, Need, Packing, Platform, ReadAhead, Recipe, Repacked, Selection, Source,
    Target, left_out, needs, save, ship,
};
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, to_throw};
use crate::examine::Examination;
use crate::found::Found;
use crate::source::{JsSource, Shared, parts_of};
use crate::values::object;

/// Images that are being put into a new archive, as they were when they were chosen.
#[wasm_bindgen]
pub struct Writing {
    target: Target,
    archives: Vec<Chosen>,
    /// The platforms that are wanted, and those of all images of which they are chosen.
    wanted: Vec<String>,
    there: Vec<Platform>,
}

struct Chosen {
    core: Rc<Core<Shared>>,
    images: Vec<usize>,
    found: Found,
    repacked: HashMap<usize, Repacked<Shared>>,
}

#[wasm_bindgen]
impl Writing {
    /// Begins to write images of `first` (all, if none are named), in that format
    /// or in the nearest to its own.
    /// Throws as finding an image does.
    #[wasm_bindgen(constructor)]
    pub fn new(
        first: &Examination,
        images: Vec<String>,
        platforms: Vec<String>,
        #[wasm_bindgen(unchecked_param_type = "WriteFormat | 'store' | 'registry' | undefined")]
        format: Option<String>,
    ) -> JsResult<Self> {
        let target = match format.as_deref() {
            Some("docker") => Target::Docker,
            Some("docker-legacy") => Target::DockerLegacy,
            Some("oci") => Target::Oci,
            Some("store") => Target::Store,
            Some("registry") => Target::Registry,
            _ => Target::nearest(first.core().format()),
        };
        let mut writing = Self { target, archives: Vec::new(), wanted: Vec::new(), there: Vec::new() };
        writing.add(first, images, platforms)?;
        Ok(writing)
    }

    /// Adds images of one more archive: all, if none are named; of those, the ones for some platforms, if any is named.
    pub fn add(
        &mut self,
        archive: &Examination,
        images: Vec<String>,
        platforms: Vec<String>,
    ) -> JsResult<()> {
        let core = archive.core();
        let mut chosen = Vec::new();
        for image in &images {
            chosen.extend(core.choose(image).map_err(to_throw)?);
        }
        if images.is_empty() {
            chosen = (0..core.images().len()).collect();
        }
        chosen.sort_unstable();
        chosen.dedup();
        if chosen.is_empty() {
            return Err(to_throw(Error::new(Code::NoSuchImage, "The archive has no image.")));
        }
        let platform = |&image: &usize| core.images().get(image).map(|image| &image.platform);
        self.there.extend(chosen.iter().filter_map(platform).cloned());
        let is_wanted = |own: &Platform| platforms.iter().any(|wanted| own.matches(wanted));
        chosen.retain(|image| platforms.is_empty() || platform(image).is_some_and(is_wanted));
        self.wanted = platforms;
        self.archives.push(Chosen {
            core,
            images: chosen,
            found: Found::default(),
            repacked: HashMap::new(),
        });
        Ok(())
    }

    /// What has to be known before the archive can be made: layers to be measured, and layers to be packed anew.
    /// Throws `no-such-platform` where no archive has an image for a platform that is wanted.
    #[wasm_bindgen(unchecked_return_type = "LayerNeed[]")]
    pub fn needs(
        &self,
        #[wasm_bindgen(unchecked_param_type = "LayerPacking | undefined")] packing: Option<String>,
    ) -> JsResult<Array> {
        // One archive may have what another has not.
        Platform::all_there(&self.wanted, self.there.iter()).map_err(to_throw)?;
        let list = Array::new();
        for (number, Chosen { core, images, .. }) in self.archives.iter().enumerate() {
            let mut all: BTreeMap<usize, Need> = BTreeMap::new();
            for &image in images {
                for (entry, need) in
                    needs(core, image, self.target, packing.as_deref().and_then(Packing::named))
                {
                    // Packing anew also measures.
                    let known = all.entry(entry).or_insert(need);
                    if *known == Need::Measured {
                        *known = need;
                    }
                }
            }
            for (entry, need) in all {
                let Some(member) = core.index().entries().get(entry) else { continue };
                let mut recipe = Recipe::default();
                recipe.push_slice(core.recipe(), member.data..member.data + member.size);
                let packing = match need {
                    Need::Measured => JsValue::UNDEFINED,
                    Need::Repacked(packing) => packing.as_str().into(),
                };
                let object = Object::new();
                #[allow(clippy::cast_precision_loss)] // below 2^53
                let fields: [(&str, JsValue); 6] = [
                    ("archive", (number as f64).into()),
                    ("entry", (entry as f64).into()),
                    ("path", (&*member.path).into()),
                    ("size", (member.size as f64).into()),
                    ("packing", packing),
                    ("parts", parts_of(&recipe)?.into()),
                ];
                for (name, value) in fields {
                    Reflect::set(&object, &name.into(), &value)?;
                }
                list.push(&object);
            }
        }
        Ok(list)
    }

    /// Notes what was found of a layer that was to be measured; what it holds is what is stored, unless
    /// [`Self::holds`] says otherwise.
    pub fn found(
        &mut self,
        archive: usize,
        entry: u32,
        digest: String,
        size: f64,
        compression: Option<String>,
    ) {
        if let Some(chosen) = self.archives.get_mut(archive) {
            chosen.found.found(entry, digest, size, compression.as_deref());
        }
    }

    /// Notes what a layer holds.
    pub fn holds(&mut self, archive: usize, entry: u32, digest: String, size: f64, trailing: f64) {
        if let Some(chosen) = self.archives.get_mut(archive) {
            chosen.found.holds(entry, digest, size, trailing);
        }
    }

    /// Takes the new bytes of a layer that was to be packed anew, or how many there will be; their digest, and that of what
    /// they hold.
    pub fn repacked(
        &mut self,
        archive: usize,
        entry: u32,
        #[wasm_bindgen(unchecked_param_type = "SessionSource | Later")] source: &JsValue,
        digest: String,
        content: String,
        #[wasm_bindgen(unchecked_param_type = "LayerPacking")] packing: &str,
    ) -> JsResult<()> {
        let source = Rc::new(ReadAhead::new(JsSource::of(source)?));
        if let (Some(chosen), Some(packing)) = (self.archives.get_mut(archive), Packing::named(packing)) {
            chosen.found.found(entry, content, 0.0, None);
            chosen.repacked.insert(entry as usize, Repacked { source, digest, packing });
        }
        Ok(())
    }

    /// What to write, in order.
    #[wasm_bindgen(unchecked_return_type = "Part[]")]
    pub fn parts(&self) -> JsResult<Array> {
        parts_of(&save(&self.selections(), self.target).map_err(to_throw)?)
    }

    /// Names that the format has no place for.
    #[wasm_bindgen(js_name = leftOut)]
    pub fn left_out(&self) -> Vec<String> {
        left_out(&self.selections(), self.target)
    }

    /// What a registry is to be given.
    #[wasm_bindgen(unchecked_return_type = "Shipment")]
    pub fn shipment(&self) -> JsResult {
        let shipment = ship(&self.selections()).map_err(to_throw)?;
        let (roots, manifests, blobs) = (Array::new(), Array::new(), Array::new());
        for root in &shipment.roots {
            let names: Array = root.names.iter().map(|name| JsValue::from(name.to_string())).collect();
            roots.push(&object(&[("names", names.into()), ("digest", (&root.digest).into())])?);
        }
        for manifest in &shipment.manifests {
            let refers: Array = manifest.refers.iter().map(JsValue::from).collect();
            manifests.push(&object(&[
                ("mediaType", (&manifest.media_type).into()),
                ("digest", (&manifest.digest).into()),
                ("bytes", Uint8Array::from(&*manifest.bytes).into()),
                ("refers", refers.into()),
            ])?);
        }
        for blob in &shipment.blobs {
            #[allow(clippy::cast_precision_loss)] // below 2^53
            blobs.push(&object(&[
                ("digest", (&blob.digest).into()),
                ("size", (blob.content.len() as f64).into()),
                ("isLayer", blob.is_layer.into()),
                ("parts", parts_of(&blob.content)?.into()),
            ])?);
        }
        object(&[("roots", roots.into()), ("manifests", manifests.into()), ("blobs", blobs.into())])
    }
}

impl Writing {
    fn selections(&self) -> Vec<Selection<'_, Shared>> {
        let mut selections = Vec::new();
        for Chosen { core, images, found, repacked } in &self.archives {
            for &image in images {
                selections.push(Selection { archive: &**core, image, measured: &found.0, repacked });
            }
        }
        selections
    }
}
