//! `docker history` (moby `daemon/images/image_history.go`).

use longshore_archive::Result;
use serde::Serialize;

use crate::catalog::{Catalog, Target};

/// One row of `docker history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// ID of the image that the step made, where that is known; `None` is Docker's `<missing>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    pub created_by: String,
    /// Bytes of the layer as stored; 0 for a step that made none.
    pub size: u64,
    /// A message.
    pub comment: String,
    /// Names of the image that the step made, as Docker prints them.
    pub tags: Vec<String>,
}

impl Catalog {
    /// `docker history`: an image's steps, the last one first. Fails as [`Self::find`] does.
    pub fn history(&self, image: &str) -> Result<Vec<Step>> {
        let image = self.find_image(image)?;
        let mut layers = image.layers().iter();
        let mut steps = Vec::with_capacity(image.config().history.len());
        for step in &image.config().history {
            let layer = if step.empty_layer { None } else { layers.next() };
            steps.push(Step {
                id: None,
                created: step.created.clone(),
                created_by: step.created_by.clone().unwrap_or_default(),
                size: layer.map_or(0, |layer| layer.size),
                comment: step.comment.clone().unwrap_or_default(),
                tags: Vec::new(),
            });
        }
        steps.reverse();
        // The images that the last steps made, as far as they are known.
        let mut made = Some(image);
        for step in &mut steps {
            let Some(image) = made else { break };
            step.id = Some(image.id().to_owned());
            let names = self.names_of(&Target::Image(image.id().to_owned()));
            step.tags = names.filter(|name| name.tag().is_some()).map(ToString::to_string).collect();
            made = image.parent().and_then(|parent| self.image(parent));
        }
        Ok(steps)
    }
}
